"""How far readers of the log are behind: projections by their checkpoint rows, agent groups by committed offsets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from infra.kafka.admin import KafkaAdmin, Watermarks
from projections.catalogue import PROJECTIONS
from projections.generations import LiveGeneration, live_generations

GROUP_PREFIX: Final = "millstream"
_PROJECTION_GROUP: Final = "millstream.projection."


class ProjectionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One projection's live generation. ``records`` counts from the checkpoints to the ends of the log.

    ``state`` is RUNNING, or why a partition stands still; ABSENT when nothing was projected yet. ``applied_to``
    is the newest append time applied, over all partitions.
    """

    projection: str
    generation: int
    records: int
    state: str
    reason: str = ""
    applied_to: datetime | None = None
    outdated: bool = False
    dead_letters: int = 0


class GroupLag(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group of agents: records between its committed offsets and the ends of its topics."""

    group: str
    records: int


def projection_lags(connection: Connection, admin: KafkaAdmin) -> list[ProjectionLag]:
    """Every projection of this build. ``connection`` has to be the projector's (dead letters are operators' rows)."""
    live = live_generations(connection)
    marks: dict[str, dict[int, Watermarks]] = {}
    for projection in PROJECTIONS:
        for topic in projection.topics:
            if topic.value not in marks:
                marks[topic.value] = admin.watermarks(topic.value)
    return [
        _lag(
            connection,
            projection.name,
            live.get(projection.name),
            marks,
            [topic.value for topic in projection.topics],
        )
        for projection in PROJECTIONS
    ]


def group_lags(admin: KafkaAdmin) -> list[GroupLag]:
    """Every group of agents, by name; a partition without a committed offset counts from its start."""
    lags: list[GroupLag] = []
    for group in sorted(admin.groups()):
        if not group.startswith(GROUP_PREFIX) or group.startswith(_PROJECTION_GROUP):
            continue
        offsets = admin.group_offsets(group)
        records = 0
        for topic in sorted({topic for topic, _ in offsets}):
            for number, at in admin.watermarks(topic).items():
                records += max(0, at.end - offsets.get((topic, number), at.start))
        lags.append(GroupLag(group=group, records=records))
    return lags


def _lag(
    connection: Connection,
    name: str,
    live: LiveGeneration | None,
    marks: Mapping[str, Mapping[int, Watermarks]],
    topics: list[str],
) -> ProjectionLag:
    if live is None:
        waiting = sum(at.end - at.start for topic in topics for at in marks[topic].values())
        return ProjectionLag(projection=name, generation=0, records=waiting, state="ABSENT")
    rows = connection.execute(
        text(
            "select topic, partition, next_offset, state, state_reason, last_append_time "
            f'from "{live.schema_name}".checkpoints'
        )
    ).all()
    passed = {(row.topic, row.partition): row.next_offset for row in rows}
    records = sum(
        max(0, at.end - passed.get((topic, number), at.start))
        for topic in topics
        for number, at in marks[topic].items()
    )
    stopped = [row for row in rows if row.state != "RUNNING"]
    dead_letters = connection.scalar(text(f'select count(*) from "{live.schema_name}".dead_letters'))
    return ProjectionLag(
        projection=name,
        generation=live.number,
        records=records,
        state=stopped[0].state if stopped else "RUNNING",
        reason=(stopped[0].state_reason or "") if stopped else "",
        applied_to=max((row.last_append_time for row in rows if row.last_append_time), default=None),
        dead_letters=dead_letters or 0,
    )
