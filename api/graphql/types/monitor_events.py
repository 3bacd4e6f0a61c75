"""The history of a monitor: runs, what they found, and what was sent."""

from datetime import datetime
from typing import Final

from ariadne import ObjectType

from api.commands.errors import InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.types.info import Info, operation_of
from api.graphql.types.monitor_nodes import ActionSource, EventSource, Trigger
from api.graphql.types.monitors import listed
from api.graphql.types.repositories import PageInfo
from projections.monitors.queries import history
from projections.repositories.queries import Repository
from streams.monitors.results import Result

trigger_type = ObjectType("MonitorQuery")
event_type = ObjectType("MonitorTriggerEvent")

_CURSOR: Final = "monitor-events"
_MAXIMUM: Final = 200
_STATUS: Final = {"processing": "PENDING", "completed": "SUCCESS", "failed": "ERROR"}


@trigger_type.field("events")
def resolve_events(
    trigger: Trigger,
    info: Info,
    first: int | None = 50,
    after: str | None = None,
    only_results: bool | None = False,
) -> dict[str, object]:
    operation = operation_of(info)
    connection = operation.reads.snapshot.connection
    limit = _MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)
    events_only = bool(only_results)
    rows = history.runs(connection, trigger.monitor.id, limit + 1, _after(after), events_only=events_only)
    shown, more = rows[:limit], len(rows) > limit
    operation.reads.repositories.announce(one.repository_id for one in shown)
    return {
        "nodes": [EventSource(trigger.monitor, one) for one in shown],
        "total_count": history.count(connection, trigger.monitor.id, events_only=events_only),
        "page_info": PageInfo(
            end_cursor=cursor(_CURSOR, shown[-1].listed_at.isoformat(), shown[-1].id)
            if more and shown
            else None,
            has_next_page=more,
        ),
    }


@event_type.field("id")
def resolve_id(event: EventSource, _: Info) -> str:
    return ids.node_id(ids.MONITOR_EVENT, f"{event.monitor.id}/{event.run.id}")


@event_type.field("status")
def resolve_status(event: EventSource, _: Info) -> str:
    return _STATUS[event.run.state]


@event_type.field("message")
def resolve_message(event: EventSource, _: Info) -> str | None:
    return event.run.message or event.run.reason or None


@event_type.field("timestamp")
def resolve_timestamp(event: EventSource, info: Info) -> datetime:
    return event.run.at or operation_of(info).now


@event_type.field("query")
def resolve_query(event: EventSource, _: Info) -> str:
    return event.run.query


@event_type.field("resultCount")
def resolve_result_count(event: EventSource, _: Info) -> int:
    return event.run.match_count


@event_type.field("commitCount")
def resolve_commit_count(event: EventSource, _: Info) -> int:
    return event.run.result_count


@event_type.field("cause")
def resolve_cause(event: EventSource, _: Info) -> str | None:
    return event.run.cause


@event_type.field("outcome")
def resolve_outcome(event: EventSource, _: Info) -> str | None:
    return event.run.status


@event_type.field("repository")
def resolve_repository(event: EventSource, info: Info) -> Repository | None:
    return operation_of(info).reads.repositories.get(event.run.repository_id)


@event_type.field("warnings")
def resolve_warnings(event: EventSource, _: Info) -> tuple[str, ...]:
    return event.run.warnings


@event_type.field("position")
def resolve_position(event: EventSource, _: Info) -> str | None:
    return event.run.evaluated_position


@event_type.field("actions")
def resolve_actions(
    event: EventSource, info: Info, first: int | None = 50, after: str | None = None
) -> dict[str, object]:
    """Actions of the monitor that were asked to send for this run; one that found nothing asked none."""
    if event.run.state == "completed" and not event.run.match_count:
        return listed([])
    sent = history.sent_for(operation_of(info).reads.snapshot.connection, event.monitor.id, [event.run.id])
    asked = {one.action_id for one in event.run.deliveries} | {one.action_id for one in sent}
    return listed(
        [
            ActionSource(event.monitor, action, [one for one in sent if one.action_id == action.id])
            for action in event.monitor.actions
            if action.id in asked
        ]
    )


@event_type.field("results")
def resolve_results(event: EventSource, info: Info, first: int | None = 50) -> list[Result]:
    limit = 50 if first is None or first < 0 else min(first, 1_000)
    return operation_of(info).services.monitoring.results(event.run.blob)[:limit]


def _after(after: str | None) -> tuple[datetime, int] | None:
    if after is None:
        return None
    key = parse_cursor(_CURSOR, after)
    try:
        at, identity = key
        return datetime.fromisoformat(str(at)), int(identity)
    except ValueError as error:
        raise InputRefused("after", "this is no cursor of this list") from error


bindables = [trigger_type, event_type]
