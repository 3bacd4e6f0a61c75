"""``consumerGroups``: the report of whoever samples, as it was kept last."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from ariadne import EnumType, ObjectType, QueryType

from api.graphql.types.admin import operating_of
from api.graphql.types.info import Info
from projections.lag.model import CanaryReport, GroupReport, HistoryPoint, Kind, LagReport, PartitionReport
from projections.lag.states import State
from projections.lag.store import as_known, history, latest_report

query = QueryType()
groups_type = ObjectType("ConsumerGroups")
group_type = ObjectType("ConsumerGroup")
partition_type = ObjectType("ConsumerGroupPartition")
canary_type = ObjectType("Canary")
kind_enum = EnumType("ConsumerGroupKind", {one.name: one for one in Kind})
state_enum = EnumType("ConsumerGroupState", {one.name: one for one in State})
MOST_POINTS: Final = 120


@query.field("consumerGroups")
def resolve_groups(_: object, info: Info) -> dict[str, object]:
    report = _report(info)
    if report is None:
        problem = "nobody has looked yet: start a projector (millstream projector)"
        return {"problems": [problem], "canary": CanaryReport(reason="none was sent yet"), "groups": []}
    return {
        "sampled_at": report.sampled_at,
        "sampled_by": report.sampled_by,
        "problems": report.problems,
        "canary": report.canary,
        "groups": report.groups,
    }


@query.field("consumerGroup")
def resolve_group(_: object, info: Info, name: str) -> GroupReport | None:
    report = _report(info)
    found = [one for one in report.groups if name in (one.group, one.name)] if report is not None else []
    return next((one for one in found if one.latest), found[0] if found else None)


def _report(info: Info) -> LagReport | None:
    operating = operating_of(info)
    with operating.engine.connect() as connection:
        found = latest_report(connection)
    return None if found is None else as_known(found, operating.settings.lag_interval_s)


@group_type.field("history")
def resolve_history(group: GroupReport, info: Info) -> Mapping[str, Sequence[datetime | float | None]]:
    with operating_of(info).engine.connect() as connection:
        points = thinned(history(connection, (group.group,)).get(group.group, ()))
    return {
        "times": [one.at for one in points],
        "records": [one.records for one in points],
        "seconds": [one.seconds for one in points],
    }


def thinned(points: Sequence[HistoryPoint]) -> list[HistoryPoint]:
    """At most ``MOST_POINTS``: of neighbours the one with the most records, so that no peak is lost."""
    step = -(-len(points) // MOST_POINTS) or 1
    return [max(points[at : at + step], key=lambda one: one.records) for at in range(0, len(points), step)]


@group_type.field("headroomSeconds")
@partition_type.field("headroomSeconds")
def resolve_headroom(one: GroupReport | PartitionReport, _: Info) -> float | None:
    return one.expires_in_s


@group_type.field("etaSeconds")
@partition_type.field("etaSeconds")
def resolve_eta(one: GroupReport | PartitionReport, _: Info) -> float | None:
    return one.eta_s


@partition_type.field("reader")
def resolve_reader(one: PartitionReport, _: Info) -> str | None:
    return None if one.member is None else f"{one.member.client_id} at {one.member.host}"


@canary_type.field("latencySeconds")
def resolve_latency(canary: CanaryReport, _: Info) -> float | None:
    return canary.latency_s


@canary_type.field("waitingSeconds")
def resolve_waiting(canary: CanaryReport, _: Info) -> float | None:
    return canary.waiting_s


bindables = [query, groups_type, group_type, partition_type, canary_type, kind_enum, state_enum]
