"""One rebuild, from its order to its swap, by whoever holds its lock. It may die anywhere: the next one goes on."""

import threading
import time
import traceback
from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from infra.kafka.admin import KafkaAdmin
from infra.kafka.errors import KafkaError
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections import people_views
from projections.catalogue import projection as declared
from projections.generations import Generation, build, drop_schema, fingerprint, locked
from projections.pace import set_pace
from projections.projection import Projection
from projections.rebuild import bulk, events, indexes, lock, store
from projections.rebuild.closing import Closing, Verified, now, require_live
from projections.rebuild.errors import LockLost, RebuildFailed, RebuildRefused, SomebodyElse, Stopped
from projections.rebuild.filling import on_schema
from projections.rebuild.holding import folded_by, vector_of
from projections.rebuild.judging import Found, Outcome, Shown, Wanted, judge
from projections.rebuild.listing import carried, schemas_of
from projections.rebuild.machine import TO_TAKE, RebuildState, Step
from projections.rebuild.store import Agreement, Rebuild
from projections.rebuild.tail import Tail
from projections.rebuild.until import ends_until
from projections.rebuild.vectors import (
    Marks,
    Partition,
    behind,
    ends_beside,
    named,
    require_same_log,
    require_whole,
    starts,
    unnamed,
)
from projections.rebuild.watch import Report, Watch
from projections.runner.checkpoint import Checkpoint
from projections.runner.deriving import Deriving
from projections.runner.failures import PROGRAM_LIMITS, TRANSIENT
from schemas.errors import MillstreamError

AUTOMATIC: Final = "millstream projector"
"""Who orders a rebuild because the fold or its tables changed."""
BULK_LEFT: Final = 20_000
"""Below so many records to read, the tail alone is quick enough."""
_HANDED_OVER_S: Final = 10.0
"""How long the new generation is kept current after the swap until its runner has taken it over."""
_LOOK_S: Final = 0.1
_PAUSE_S: Final = 1.0
_MENDED_BY_TIME: Final = (*TRANSIENT, OperationalError, InterfaceError, NoConnection, LockLost, KafkaError)
"""Tried again for as long as it takes; every other error ends the rebuild as FAILED."""
_log = structlog.get_logger()


def run_rebuild(
    settings: Settings,
    rebuild_id: int,
    stop: threading.Event,
    report: Report = lambda rebuild: None,
    one: Projection | None = None,
) -> Rebuild:
    """Work on a rebuild until it has ended, waits for a person, or ``stop`` is set; how it stands then.

    ``one`` is the fold (None: this build's). What time mends is tried again. Raises NoSuchRebuild; RebuildRefused when
    somebody else works on it, when there is nothing to do, or when another build's fold is needed.
    """
    set_pace()
    engine = make_engine(settings, Role.PROJECTOR, pool_size=4, name="rebuild")
    try:
        while True:
            try:
                return _run(settings, engine, rebuild_id, stop, report, one)
            except _MENDED_BY_TIME as error:
                _log.warning("rebuild_retried", rebuild=rebuild_id, error=str(error))
                if stop.wait(_PAUSE_S):
                    raise
    finally:
        engine.dispose()


def _run(
    settings: Settings,
    engine: Engine,
    rebuild_id: int,
    stop: threading.Event,
    report: Report,
    one: Projection | None,
) -> Rebuild:
    with engine.connect() as connection:
        rebuild = store.find(connection, rebuild_id)
    one = declared(rebuild.projection) if one is None else one
    with lock.held(settings, rebuild.projection) as held:
        if held is None:
            raise SomebodyElse(
                f"somebody else works on a rebuild of {rebuild.projection}",
                remedy=f"Watch it: millstream projection generations {rebuild.projection}",
            )
        with engine.connect() as connection:
            rebuild = store.find(connection, rebuild_id)
        _require_takeable(rebuild, one)
        return _Work(settings, engine, one, Watch(engine, held, rebuild, stop, report), stop).run()


def _require_takeable(rebuild: Rebuild, one: Projection) -> None:
    if rebuild.state not in TO_TAKE:
        raise RebuildRefused(
            f"rebuild {rebuild.id} of {rebuild.projection} is {rebuild.state.value}",
            remedy=rebuild.reason or f"Order another: millstream projection rebuild {rebuild.projection}",
        )
    if (rebuild.version, rebuild.fingerprint) != (one.version, fingerprint(one)):
        raise RebuildRefused(
            f"rebuild {rebuild.id} of {rebuild.projection} needs version {rebuild.version} of the fold and its tables, "
            f"this build has version {one.version}",
            remedy="Let a projector of that build do it, or cancel it and order another.",
        )


class _Work:
    def __init__(
        self, settings: Settings, engine: Engine, one: Projection, watch: Watch, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._one = one
        self._watch = watch
        self._stop = stop
        rebuild = watch.rebuild
        self._generation = Generation(
            projection=one.name,
            number=rebuild.generation,
            schema_name=rebuild.schema_name,
            version=rebuild.version,
            fingerprint=rebuild.fingerprint,
            live=False,
        )

    def run(self) -> Rebuild:
        """The outcome is a state, whatever happens; only what time mends, and a lost lock, is raised."""
        # What another worker found, or this one before a pause, may not hold any more: it is compared anew.
        self._watch.step(Step.TAKE, reason="", verified_at=None)
        try:
            return self._filled_and_swapped()
        except Stopped:
            return self._stopped()
        except PROGRAM_LIMITS as error:  # psycopg calls it operational, and no retry mends it
            return self._failed(RebuildFailed(f"a row that Postgres cannot hold: {error}"))
        except _MENDED_BY_TIME:
            raise
        except MillstreamError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever a bug raises: not to be tried again and again
            _log.critical("rebuild_broken", stack="".join(traceback.format_exception(error)))
            return self._failed(
                RebuildFailed(
                    f"a bug: {error!r}",
                    remedy="Correct the build, then resume: it goes on from its checkpoints.",
                )
            )

    def _filled_and_swapped(self) -> Rebuild:
        self._build()
        if self._watch.rebuild.scratch:
            return self._fill_past(self._marks())
        marks = self._fill_beside()
        with ExitStack() as stack:
            tail = Tail(self._settings, self._engine, self._one, self._generation, marks, self._at())
            tail.start()
            stack.callback(tail.close)
            closing = Closing(self._settings, self._engine, self._one, self._generation, tail, self._watch)
            closing.near()
            self._watch.step(Step.FILLED)
            verified = closing.verify()
            ended = self._judge(verified)
            if ended is not None:
                return ended
            done = closing.swap(verified)
            self._swapped(done)
            self._hand_over(tail)
            return done

    def _build(self) -> None:
        """The schema, without the indexes that come last; once."""
        with locked(self._engine, self._one.name) as connection:
            there = {number for number, _ in schemas_of(connection, self._one.name)}
            if self._generation.number not in there:
                build(
                    connection,
                    self._one,
                    self._generation.schema_name,
                    self._generation.number,
                    indexes.deferred(self._one),
                    indexes.keyless(self._one),
                )

    def _fill_past(self, marks: Marks) -> Rebuild:
        """A generation that shows the past: exactly up to its ends, and then it stands."""
        rebuild = self._watch.rebuild
        if not rebuild.ranges:
            with KafkaAdmin(self._settings) as admin:
                ends = ends_until(
                    self._settings, admin, self._one, marks, rebuild.until, rebuild.until_position
                )
            self._aim(marks, ends)
        ends = {place: end for place, (_, end) in self._ranges().items()}
        self._fill(marks, ends)
        bulk.finish(self._settings, self._engine, self._one, self._generation)
        self._derive()
        self._watch.tick(self._at(), now=True)
        self._watch.step(Step.FILLED)
        until = rebuild.until_position or (rebuild.until.isoformat() if rebuild.until is not None else "")
        return self._watch.step(
            Step.VERIFIED, reason=f"it shows what was on the log up to {until}", eta_s=0.0, events_per_s=0.0
        )

    def _fill_beside(self) -> Marks:
        """Up to the live generation, anew until little is left. Raises RebuildFailed where the log is not the one that it has read."""
        while True:
            with self._engine.connect() as connection:
                live = require_live(connection, self._one.name)
                folded = folded_by(connection, live.schema_name)
            # The log is looked at behind the checkpoints: what they have passed is on it, if it is theirs.
            marks = self._marks(folded)
            ends = ends_beside(marks, {(one.topic, one.partition): one.next_offset for one in folded})
            self._aim(marks, ends)
            if sum(behind(self._at(), ends).values()) <= BULK_LEFT and self._at():
                break
            self._fill(marks, ends)
        self._watch.tick(self._at(), now=True)
        bulk.finish(self._settings, self._engine, self._one, self._generation)
        self._derive()
        return marks

    def _derive(self) -> None:
        """Once for each key, all that was filled: the tail keeps it current from here on."""
        if self._one.derive is None:
            return
        schema = self._generation.schema_name
        at = self._at()
        with on_schema(self._settings, schema) as connection:
            deriving = Deriving(self._one.name, schema, self._one.derive, connection)
            deriving.all(lambda: self._watch.tick(at))

    def _fill(self, marks: Marks, ends: dict[Partition, int]) -> None:
        at = self._at()
        require_whole(marks, {topic.value for topic in self._one.transient}, at)
        workers = self._watch.rebuild.workers
        bulk.fill(self._settings, self._engine, self._one, self._generation, ends, workers, self._watch)

    def _aim(self, marks: Marks, ends: dict[Partition, int]) -> None:
        begun = {place: begin for place, (begin, _) in self._ranges().items()}
        begins = starts(marks) | begun
        ranges = {place: (begins[place], max(end, begins[place])) for place, end in ends.items()}
        self._watch.aim(begins, ends)
        firsts, lasts = (named({place: pair[i] for place, pair in ranges.items()}) for i in (0, 1))
        self._watch.write(ranges={place: (firsts[place], lasts[place]) for place in firsts})

    def _ranges(self) -> dict[Partition, tuple[int, int]]:
        found = self._watch.rebuild.ranges
        firsts = unnamed({place: pair[0] for place, pair in found.items()})
        lasts = unnamed({place: pair[1] for place, pair in found.items()})
        ranges = {place: (first, lasts[place]) for place, first in firsts.items()}
        self._watch.aim(firsts, lasts)
        return ranges

    def _judge(self, found: Verified) -> Rebuild | None:
        """What the comparison leads to; None: the swap."""
        rebuild = self._watch.rebuild
        told = {
            "different": found.comparison.different,
            "differences": found.differences,
            "from_generation": found.live.number,
            "hold_ms": found.hold_ms,
        }
        judgement = judge(
            Found(
                live_generation=found.live.number,
                live_version=found.live.version,
                meant=(found.live.version, found.live.fingerprint) != (rebuild.version, rebuild.fingerprint),
                different=found.comparison.different,
                structure=tuple(found.comparison.notes),
                security=tuple(found.security),
                changed_by_hand=found.changed_by_hand,
            ),
            Wanted(
                swap=rebuild.swap,
                accept=rebuild.accept,
                by_a_person=rebuild.ordered_by != AUTOMATIC or rebuild.accepted_at is not None,
                shown=None if rebuild.accepted_at is None else _shown(rebuild.accepted or Agreement()),
            ),
        )
        match judgement.outcome:
            case Outcome.SWAP:
                self._watch.write(verified_at=now(), **told)
                return None
            case Outcome.READY:
                return self._watch.step(Step.VERIFIED, reason=judgement.reason, **told)
            case Outcome.FAIL:
                self._watch.write(**told)
                raise RebuildFailed(judgement.reason, remedy=judgement.remedy)

    def _swapped(self, done: Rebuild) -> None:
        self._watch.rebuild = done
        people_views.refresh(self._engine, self._one, self._generation)
        _log.info(
            "generation_swapped",
            projection=done.projection,
            generation=done.generation,
            hold_ms=round(done.hold_ms or 0.0, 1),
            swap_ms=round(done.swap_ms or 0.0, 1),
        )
        tell(self._settings, self._engine, done)

    def _hand_over(self, tail: Tail) -> None:
        """Keep it current until its runner has taken it over, where a projector runs that could."""
        until_s = time.monotonic() + _HANDED_OVER_S
        try:
            with self._engine.connect() as connection:
                if not any(name == self._one.name for name, _ in carried(connection)):
                    return
            while time.monotonic() < until_s and not tail.taken_over() and not self._stop.wait(_LOOK_S):
                pass
        except SQLAlchemyError as error:  # it is swapped: nothing is tried again for this
            _log.info("hand_over_not_seen", projection=self._one.name, error=str(error))

    def _stopped(self) -> Rebuild:
        with self._engine.begin() as connection:
            rebuild = store.find(connection, self._watch.rebuild.id)
            if rebuild.state is RebuildState.CANCELLED:
                drop_schema(connection, rebuild.schema_name)
            elif rebuild.state in TO_TAKE and rebuild.state is not RebuildState.ORDERED:
                rebuild = store.step(connection, rebuild.id, Step.LET_GO, eta_s=None, events_per_s=0.0)
        return rebuild

    def _failed(self, error: MillstreamError) -> Rebuild:
        _log.error(
            "rebuild_failed",
            projection=self._one.name,
            generation=self._generation.number,
            reason=str(error),
            remedy=error.remedy,
        )
        reason = f"{error} {error.remedy}".strip()
        return self._watch.step(Step.FAIL, reason=reason, eta_s=None, events_per_s=0.0)

    def _at(self) -> dict[Partition, int]:
        with self._engine.connect() as connection:
            return vector_of(connection, self._generation.schema_name)

    def _marks(self, folded: Collection[Checkpoint] = ()) -> Marks:
        """Of the log, which has to be the one that ``folded`` were read from."""
        with KafkaAdmin(self._settings) as admin:
            marks = {topic.value: admin.watermarks(topic) for topic in self._one.topics}
            ids = {topic: admin.topic_id(topic) for topic in marks} if folded else {}
            require_same_log(folded, admin.cluster_id(), ids, marks)
        return marks


def _shown(accepted: Agreement) -> Shown:
    return Shown(
        live_generation=accepted.from_generation,
        different=accepted.different,
        words=frozenset(accepted.differences),
    )


def tell(settings: Settings, engine: Engine, rebuild: Rebuild) -> None:
    """Publish the swap, which may be done twice; what fails is done again by the next projector that looks."""
    try:
        with Publisher(settings) as publisher:
            publisher.publish([events.swapped(rebuild)])
        with engine.begin() as connection:
            store.write(connection, rebuild.id, told_at=now())
    except MillstreamError as error:
        _log.warning("swap_not_told", projection=rebuild.projection, error=str(error))
