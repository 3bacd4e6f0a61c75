"""``MonitorAction`` and what each has sent."""

from datetime import datetime
from typing import Final

from ariadne import ObjectType, UnionType

from api.graphql import ids
from api.graphql.types import people
from api.graphql.types.info import Info, operation_of
from api.graphql.types.monitor_nodes import ACTION_KINDS, ActionSource, kind_of
from api.graphql.types.monitors import listed, named_user
from projections.monitors.queries import history
from projections.monitors.queries.history import Sent
from streams.monitors.doors import SecretMissing
from streams.monitors.forgetting import SIGNING_KIND, url_kind

action_union = UnionType("MonitorAction")
email_type = ObjectType("MonitorEmail")
webhook_type = ObjectType("MonitorWebhook")
slack_type = ObjectType("MonitorSlackWebhook")
sent_type = ObjectType("MonitorActionEvent")

HIDDEN: Final = "REDACTED"
"""Stands for what only the owner reads."""
_MAXIMUM: Final = 50
_STATUS: Final = {"queued": "PENDING", "errored": "PENDING", "completed": "SUCCESS", "failed": "ERROR"}


@action_union.type_resolver
def action_kind(found: ActionSource, *_: object) -> str | None:
    return kind_of(found)


@email_type.field("id")
@webhook_type.field("id")
@slack_type.field("id")
def resolve_id(source: ActionSource, _: Info) -> str:
    return ids.node_id(ACTION_KINDS[source.action.kind], f"{source.monitor.id}/{source.action.id}")


@email_type.field("enabled")
@webhook_type.field("enabled")
@slack_type.field("enabled")
def resolve_enabled(source: ActionSource, _: Info) -> bool:
    return source.action.sends


@email_type.field("includeResults")
@webhook_type.field("includeResults")
@slack_type.field("includeResults")
def resolve_include_results(source: ActionSource, _: Info) -> bool:
    return source.action.include_results


@email_type.field("priority")
def resolve_priority(source: ActionSource, _: Info) -> str:
    return source.action.priority.value.upper()


@email_type.field("header")
def resolve_header(source: ActionSource, _: Info) -> str:
    return source.action.header


@email_type.field("recipients")
def resolve_recipients(
    source: ActionSource, _: Info, first: int | None = 50, after: str | None = None
) -> dict[str, object]:
    return listed([named_user(name) for name in source.action.recipients])


@webhook_type.field("url")
@slack_type.field("url")
def resolve_url(source: ActionSource, info: Info) -> str:
    return _secret(source, info, source.action.url_ref, url_kind(source.action.kind))


@webhook_type.field("signingSecret")
def resolve_signing_secret(source: ActionSource, info: Info) -> str:
    return _secret(source, info, source.action.signing_ref, SIGNING_KIND)


@webhook_type.field("host")
@slack_type.field("host")
def resolve_host(source: ActionSource, _: Info) -> str:
    return source.action.host


@webhook_type.field("disabledReason")
@slack_type.field("disabledReason")
def resolve_disabled_reason(source: ActionSource, _: Info) -> str | None:
    return source.action.disabled_message or None if source.action.is_disabled else None


@email_type.field("cannotSend")
def resolve_cannot_mail(source: ActionSource, info: Info) -> str | None:
    operation = operation_of(info)
    return operation.services.monitoring.sendable.mail_problem(
        people.without_address(operation, source.action.recipients)
    )


@webhook_type.field("cannotSend")
@slack_type.field("cannotSend")
def resolve_cannot_send(source: ActionSource, info: Info) -> str | None:
    return operation_of(info).services.monitoring.sendable.host_problem(source.action.host)


@email_type.field("events")
@webhook_type.field("events")
@slack_type.field("events")
def resolve_events(
    source: ActionSource, info: Info, first: int | None = 50, after: str | None = None
) -> dict[str, object]:
    if source.sent is not None:
        return listed(list(source.sent))
    limit = _MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)
    connection = operation_of(info).reads.snapshot.connection
    return listed(history.sent_by_action(connection, source.monitor.id, source.action.id, limit))


@sent_type.field("id")
def resolve_sent_id(sent: Sent, _: Info) -> str:
    return ids.node_id(ids.MONITOR_ACTION_EVENT, f"{sent.monitor_id}/{sent.id}")


@sent_type.field("status")
def resolve_sent_status(sent: Sent, _: Info) -> str:
    return _STATUS[sent.state]


@sent_type.field("message")
def resolve_sent_message(sent: Sent, _: Info) -> str | None:
    return sent.message or None


@sent_type.field("timestamp")
def resolve_sent_timestamp(sent: Sent, info: Info) -> datetime:
    return sent.at or sent.since or operation_of(info).now


@sent_type.field("deliveryID")
def resolve_delivery_id(sent: Sent, _: Info) -> str | None:
    return sent.delivery_id


@sent_type.field("attempts")
def resolve_attempts(sent: Sent, _: Info) -> int:
    return sent.attempt or 0


@sent_type.field("nextAttempt")
def resolve_next_attempt(sent: Sent, _: Info) -> datetime | None:
    return sent.process_after if sent.state == "errored" else None


@sent_type.field("recipient")
def resolve_recipient(sent: Sent, _: Info) -> str | None:
    return sent.recipient or None


def _secret(source: ActionSource, info: Info, ref: str | None, kind: str) -> str:
    operation = operation_of(info)
    if ref is None or source.monitor.owner != operation.user.name:
        return HIDDEN
    try:
        return operation.services.monitoring.doors.secrets.get(ref, kind=kind, owner=source.monitor.owner)
    except SecretMissing:
        return HIDDEN


bindables = [action_union, email_type, webhook_type, slack_type, sent_type]
