"""How far the projections are behind, by their checkpoint rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, func, select, text

from infra.kafka.admin import KafkaAdmin, Watermarks
from infra.postgres.runtime import heartbeats
from projections.catalogue import PROJECTIONS
from projections.freshness import HEARTBEAT_PREFIX, HEARTBEAT_VALID_S, freshness
from projections.generations import LiveGeneration, fingerprint, live_generations
from projections.projection import Projection
from projections.rebuild import store
from projections.rebuild.machine import OPEN

Marks = Mapping[str, Mapping[int, Watermarks]]
"""Topic -> partition -> start and end."""


class ProjectionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One projection's live generation. ``records`` counts from the checkpoints to the ends of the log.

    ``state`` is RUNNING; ABSENT (nothing was projected yet); STOPPED (no projector beats for it); REBUILDING or OUTDATED (this
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


def watermarks(admin: KafkaAdmin, of: Sequence[Projection] = PROJECTIONS) -> Marks:
    """Starts and ends of every topic that some of these projections read."""
    topics = sorted({topic.value for projection in of for topic in projection.topics})
    return {topic: admin.watermarks(topic) for topic in topics}


def projection_lags(
    connection: Connection,
    admin: KafkaAdmin,
    marks: Marks | None = None,
    of: Sequence[Projection] = PROJECTIONS,
) -> list[ProjectionLag]:
    """These projections, of this build all. ``connection`` has to be the projector's (dead letters are operators' rows).

    ``marks`` when they were read already.
    """
    live = live_generations(connection)
    marks = watermarks(admin, of) if marks is None else marks
    running = _running(connection)
    return [_lag(connection, one, live.get(one.name), marks, one.name in running) for one in of]


def letters(connection: Connection) -> list[tuple[str, int, int]]:
    """(projection, dead letters, events in quarantine) of the live generations."""
    live = live_generations(connection)
    return [
        (
            one.name,
            connection.scalar(text(f'select count(*) from "{there.schema_name}".dead_letters')) or 0,
            _quarantined(connection, there)[1],
        )
        for one in PROJECTIONS
        if (there := live.get(one.name)) is not None
    ]


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
        state, reason = _outdated(connection, projection)
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


def _outdated(connection: Connection, projection: Projection) -> tuple[str, str]:
    """Of a live generation that another build has made: whether a rebuild is on its way."""
    for one in store.every(connection, projection.name):
        if one.state in OPEN and not one.scratch:
            far = f"{one.events:,} of {one.of_all:,} events"
            return "REBUILDING", f"generation {one.generation} is {one.state.value}: {far}"
    return (
        "OUTDATED",
        f"another fold or other tables than this build's: millstream projection rebuild {projection.name}",
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
