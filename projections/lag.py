"""How far readers of the log are behind: projections by their checkpoint rows, agent groups by committed offsets."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select, text

from infra.kafka.admin import KafkaAdmin, Watermarks
from infra.postgres.runtime import heartbeats
from projections.catalogue import PROJECTIONS
from projections.freshness import HEARTBEAT_PREFIX, HEARTBEAT_VALID_S, freshness
from projections.generations import LiveGeneration, fingerprint, live_generations
from projections.projection import Projection

GROUP_PREFIX: Final = "millstream"
Marks = Mapping[str, Mapping[int, Watermarks]]
"""Topic -> partition -> start and end."""
_PROJECTION_GROUP: Final = "millstream.projection."


class ProjectionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One projection's live generation. ``records`` counts from the checkpoints to the ends of the log.

    ``state`` is RUNNING; ABSENT (nothing was projected yet); STOPPED (no projector beats for it); OUTDATED (this
    build would write another generation); or why a partition stands still, ``reason`` then saying more.
    ``applied_to``: everything appended until then is applied, or, with nothing left to read, the newest append time.
    """

    projection: str
    generation: int
    records: int
    state: str
    reason: str = ""
    applied_to: datetime | None = None
    dead_letters: int = 0
    quarantined_aggregates: int = 0
    """At which the fold failed; their ``quarantined_events`` wait in order until they are folded again."""
    quarantined_events: int = 0


class _Place(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    next_offset: int
    append_time: datetime | None


class GroupLag(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group of agents: records between its committed offsets and the ends of its topics."""

    group: str
    records: int


def watermarks(admin: KafkaAdmin) -> Marks:
    """Starts and ends of every topic that some projection reads."""
    topics = sorted({topic.value for projection in PROJECTIONS for topic in projection.topics})
    return {topic: admin.watermarks(topic) for topic in topics}


def projection_lags(
    connection: Connection, admin: KafkaAdmin, marks: Marks | None = None
) -> list[ProjectionLag]:
    """Every projection of this build. ``connection`` has to be the projector's (dead letters are operators' rows).

    ``marks`` when they were read already.
    """
    live = live_generations(connection)
    marks = watermarks(admin) if marks is None else marks
    running = _running(connection)
    return [_lag(connection, one, live.get(one.name), marks, one.name in running) for one in PROJECTIONS]


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
    projection: Projection,
    live: LiveGeneration | None,
    marks: Marks,
    running: bool,
) -> ProjectionLag:
    places = [
        (topic.value, number, at) for topic in projection.topics for number, at in marks[topic.value].items()
    ]
    if live is None:
        waiting = sum(at.end - at.start for _, _, at in places)
        return ProjectionLag(projection=projection.name, generation=0, records=waiting, state="ABSENT")
    rows = connection.execute(
        text(
            "select topic, partition, next_offset, state, state_reason, last_append_time as append_time "
            f'from "{live.schema_name}".checkpoints'
        )
    ).all()
    passed = {(row.topic, row.partition): row.next_offset for row in rows}
    state, reason = "RUNNING", ""
    if stopped := [row for row in rows if row.state != "RUNNING"]:
        state, reason = stopped[0].state, stopped[0].state_reason or ""
    elif not running:
        state = "STOPPED"
    elif (live.version, live.fingerprint) != (projection.version, fingerprint(projection)):
        state = "OUTDATED"
    aggregates, events = _quarantined(connection, live)
    return ProjectionLag(
        projection=projection.name,
        generation=live.number,
        records=sum(max(0, at.end - passed.get((topic, number), at.start)) for topic, number, at in places),
        state=state,
        reason=reason,
        applied_to=freshness(
            [msgspec.convert(row, _Place, from_attributes=True) for row in rows],
            {(topic, number): at.end for topic, number, at in places},
        ).applied_up_to,
        dead_letters=connection.scalar(text(f'select count(*) from "{live.schema_name}".dead_letters')) or 0,
        quarantined_aggregates=aggregates,
        quarantined_events=events,
    )


def _quarantined(connection: Connection, live: LiveGeneration) -> tuple[int, int]:
    """Aggregates and events in quarantine; none in a generation that an older build has made."""
    table = f'"{live.schema_name}".quarantine'
    if connection.scalar(text("select to_regclass(:table)"), {"table": table}) is None:
        return 0, 0
    row = connection.execute(
        text(f"select count(*) filter (where behind is null), count(*) from {table}")
    ).one()
    return row[0], row[1]


def _running(connection: Connection) -> set[str]:
    """Projections that some projector has beaten for lately."""
    names: set[str] = set()
    for (details,) in connection.execute(
        select(heartbeats.c.details).where(
            heartbeats.c.process.startswith(HEARTBEAT_PREFIX),
            heartbeats.c.seen_at > func.now() - timedelta(seconds=HEARTBEAT_VALID_S),
        )
    ):
        names.update(details["projections"])
    return names
