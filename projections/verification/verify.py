"""Replays the log into a scratch generation and compares it row for row with the live one at the same vector.

Safe beside a running system: the live rows are read in one REPEATABLE READ snapshot, which locks nothing that readers
or the projector feel (while it lasts, vacuum keeps the row versions that it sees), and the replay is in no consumer
group. The projections come one after the other, and rows are streamed, so that memory does not grow with the log.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.kafka.admin import KafkaAdmin, Watermarks
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, projection
from projections.generations import Generation, LiveGeneration, NotProjected, fingerprint
from projections.projection import Projection
from projections.runner.deriving import stale_keys
from projections.verification.comparing import Compared, Difference, Row, compare
from projections.verification.contents import Content, Partition, contents
from projections.verification.errors import CannotVerify
from projections.verification.replay import replay
from projections.verification.scratch import scratch_generation, sweep
from schemas.errors import MillstreamError

SHOWN: Final = 20
"""Differences that are kept of one projection."""
NO_LIMIT_S: Final = float("inf")
_FETCHED_ROWS: Final = 2_000
_REBUILD: Final = "Let the projector build the generation of this build first, or verify with the build that wrote the live one."

Marks = Mapping[str, Mapping[int, Watermarks]]
Session = psycopg.Connection[tuple[object, ...]]
Report = Callable[[str, int, int], None]
"""(projection, records replayed, of all)."""


class Outcome(StrEnum):
    """What a comparison found."""

    EQUAL = "EQUAL"
    DIFFERENT = "DIFFERENT"
    REFUSED = "REFUSED"
    """It could not be made; the reason says why."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One projection. ``events`` counts records replayed, ``different`` rows; ``seconds_replay`` is part of ``seconds``."""

    projection: str
    generation: int
    outcome: Outcome
    reason: str = ""
    remedy: str = ""
    events: int = 0
    rows: int = 0
    different: int = 0
    differences: list[Difference] = []
    seconds: float = 0.0
    seconds_replay: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether every row of the live generation is what the log says."""
        return self.outcome is Outcome.EQUAL

    @property
    def events_per_second(self) -> float:
        """Of the replay alone."""
        return self.events / self.seconds_replay if self.seconds_replay else 0.0


def verify(
    settings: Settings,
    names: Collection[str] = (),
    *,
    timeout_s: float | None = None,
    report: Report = lambda name, done, of_all: None,
    shown: int = SHOWN,
) -> list[Comparison]:
    """Compare the live generations of ``names`` (none: all) with the log, one after the other.

    What prevents one comparison refuses it alone, with the reason. ``timeout_s`` is for all together. Raises
    UnknownProjection; DatabaseUnreachable when nothing can be asked at all.
    """
    wanted = [projection(name) for name in names] or list(PROJECTIONS)
    deadline_s = time.monotonic() + (NO_LIMIT_S if timeout_s is None else timeout_s)
    sweep(settings)
    engine = make_engine(settings, Role.PROJECTOR, pool_size=1, name="verify")
    try:
        return [_compared(settings, engine, one, deadline_s, report, shown) for one in wanted]
    finally:
        engine.dispose()


def _compared(
    settings: Settings, engine: Engine, one: Projection, deadline_s: float, report: Report, shown: int
) -> Comparison:
    began_s = time.monotonic()
    generation = 0
    try:
        with _snapshot(settings) as session:
            live = _live(session, one)
            generation = live.number
            with scratch_generation(settings, engine, one) as scratch:
                return _compare_with(settings, session, live, scratch, one, deadline_s, report, shown)
    except (MillstreamError, psycopg.Error, SQLAlchemyError) as error:
        return Comparison(
            projection=one.name,
            generation=generation,
            outcome=Outcome.REFUSED,
            reason=str(error),
            remedy=error.remedy if isinstance(error, MillstreamError) else "",
            seconds=time.monotonic() - began_s,
        )


def _compare_with(
    settings: Settings,
    session: Session,
    live: LiveGeneration,
    scratch: Generation,
    one: Projection,
    deadline_s: float,
    report: Report,
    shown: int,
) -> Comparison:
    began_s = time.monotonic()
    passed = _passed(session, live.schema_name)
    marks = _marks(settings, one)
    starts, until = _range(one, passed, marks)
    _begin_orders(settings, session, live.schema_name, scratch.schema_name)
    events = replay(
        settings,
        one,
        scratch,
        until,
        starts,
        deadline_s=deadline_s,
        report=lambda done, of_all: report(one.name, done, of_all),
    )
    replayed_s = time.monotonic() - began_s
    lost = {place: at for place, at in _starts(_marks(settings, one)).items() if at > 0}
    found = Compared()
    with _snapshot(settings) as other:
        stale = stale_keys(session, live.schema_name, one.derive) if one.derive is not None else ()
        for content in contents(one, until, lost, stale=stale):
            table = compare(
                content.table,
                content.keys,
                content.columns,
                _rows(session, content, live.schema_name),
                _rows(other, content, scratch.schema_name),
                shown=shown - len(found.differences),
            )
            found.rows += table.rows
            found.different += table.different
            found.differences += table.differences
    return Comparison(
        projection=one.name,
        generation=live.number,
        outcome=Outcome.DIFFERENT if found.different else Outcome.EQUAL,
        events=events,
        rows=found.rows,
        different=found.different,
        differences=found.differences,
        seconds=time.monotonic() - began_s,
        seconds_replay=replayed_s,
    )


def _begin_orders(settings: Settings, session: Session, live: str, scratch: str) -> None:
    """What operators had dropped in the snapshot, the replay leaves out from its start."""
    for table, columns in (
        ("dropped", ("topic", "partition", "offset", "ordered")),
        ("orders", ("topic", "partition", "next_order")),
    ):
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        rows = session.execute(
            sql.SQL("select {} from {}").format(names, sql.Identifier(live, table))
        ).fetchall()
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(scratch, table), names, sql.SQL(", ").join([sql.Placeholder()] * len(columns))
        )
        with connect(settings, Role.PROJECTOR, name="verify") as writer, writer.cursor() as cursor:
            cursor.executemany(statement, rows)


def _range(
    one: Projection, passed: Mapping[Partition, int], marks: Marks
) -> tuple[dict[Partition, int], dict[Partition, int]]:
    """From where and up to where each partition is replayed.

    A partition that expires, and holds nothing of what was applied, is left out. Where the log ends before the
    checkpoint it is replayed to its end, and the checkpoints will differ. Raises CannotVerify.
    """
    starts, until = {}, {}
    for (topic, partition), next_offset in passed.items():
        at = marks[topic].get(partition)
        if at is None or (topic in one.transient and at.start >= next_offset):
            continue
        if at.start > 0 and topic not in one.transient:
            raise CannotVerify(
                f"{topic}/{partition} begins at {at.start}: what came before is lost, so the rows cannot be made again",
                remedy="Restore the topic from a copy, and set its retention as `millstream topics apply` does.",
            )
        starts[topic, partition] = at.start
        until[topic, partition] = max(at.start, min(next_offset, at.end))
    return starts, until


def _live(session: Session, one: Projection) -> LiveGeneration:
    row = session.execute(
        "select live_generation, schema_name, version, fingerprint, created_at, swapped_at"
        " from runtime.generations where projection = %s",
        (one.name,),
    ).fetchone()
    if row is None:
        raise NotProjected(
            f"the projection {one.name} does not exist yet",
            remedy="Start the projector: millstream projector",
        )
    names = ("number", "schema_name", "version", "fingerprint", "created_at", "swapped_at")
    live = msgspec.convert({"projection": one.name, **dict(zip(names, row, strict=True))}, LiveGeneration)
    if live.version != one.version:
        raise CannotVerify(
            f"the live generation g{live.number} was built by version {live.version} of the fold, this build has {one.version}",
            remedy=_REBUILD,
        )
    if live.fingerprint != fingerprint(one):
        raise CannotVerify(
            f"the live generation g{live.number} has other tables than this build", remedy=_REBUILD
        )
    return live


def _passed(session: Session, schema: str) -> dict[Partition, int]:
    query = sql.SQL("select topic, partition, next_offset from {}.checkpoints").format(sql.Identifier(schema))
    rows = msgspec.convert(session.execute(query).fetchall(), list[tuple[str, int, int]])
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def _marks(settings: Settings, one: Projection) -> Marks:
    with KafkaAdmin(settings) as admin:
        return {topic.value: admin.watermarks(topic) for topic in one.topics}


def _starts(marks: Marks) -> dict[Partition, int]:
    return {(topic, number): at.start for topic, found in marks.items() for number, at in found.items()}


def _rows(session: Session, content: Content, schema: str) -> Iterator[Row]:
    with session.cursor(name="verify") as cursor:
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(content.of(schema).encode())
        yield from cursor


@contextmanager
def _snapshot(settings: Settings) -> Iterator[Session]:
    """One state of the database for as long as it takes, for reading only."""
    session = connect(settings, Role.PROJECTOR, name="verify-snapshot")
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.read_only = True
    with session:
        # The replay of a long log goes on beside this transaction.
        session.execute("set local idle_in_transaction_session_timeout = 0")
        session.execute("set local statement_timeout = 0")
        yield session
        session.rollback()
