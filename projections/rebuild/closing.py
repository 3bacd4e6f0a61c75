"""The end of a rebuild: both generations compared at one vector, and readers led to the new one (DESIGN section 7)."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection, Engine

from infra.kafka.admin import KafkaAdmin
from infra.settings import Settings
from projections.generations import Generation, LiveGeneration, live_generations
from projections.projection import Projection
from projections.rebuild import store
from projections.rebuild.bulk import require_alone
from projections.rebuild.comparing import (
    Comparison,
    Session,
    compare_generations,
    pooled_snapshot,
    replayed_at,
)
from projections.rebuild.derived import older_keys
from projections.rebuild.errors import RebuildFailed
from projections.rebuild.holding import HoldLost, Target, hold, lead, vector_of
from projections.rebuild.machine import RebuildState, Step
from projections.rebuild.security import changed_by_hand, security_differences
from projections.rebuild.tail import Tail
from projections.rebuild.vectors import Marks, Partition, Vector, behind, same, starts
from projections.rebuild.watch import Watch
from projections.runner import faults
from projections.runner.deriving import stale_keys

NEAR_RECORDS: Final = 2_000
"""Behind the live generation by so few, it is brought up while that one is held."""
_PAUSE_S: Final = 0.05
_RETRY_S: Final = 0.5
_DERIVE_S: Final = 60.0
_STILL_S: Final = 60.0
"""So long the live generation may stand still while it is waited for."""
_CARELESS_S: Final = 2.0
"""With the bug that a test switches on: what happens between the comparison and the swap on a busy machine."""
_log = structlog.get_logger()


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison with ``live`` found. ``security``: how who may see what differs; ``changed_by_hand``: the live one's
    grants or policies are not those that it was made with."""

    live: LiveGeneration
    comparison: Comparison
    security: list[str]
    changed_by_hand: bool
    hold_ms: float

    @property
    def differences(self) -> list[str]:
        """All in words, the weightiest first."""
        return [*self.security, *self.comparison.notes, *self.comparison.differences]


class Closing:
    """For one rebuild, beside its tail."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        one: Projection,
        generation: Generation,
        tail: Tail,
        watch: Watch,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._one = one
        self._generation = generation
        self._tail = tail
        self._watch = watch
        self._transient = frozenset(topic.value for topic in one.transient)

    def near(self) -> None:
        """Wait until the new generation is close behind the live one, and has derived what that one has.

        For the latter not for ever: what is stale in one of them is not compared.
        """
        until_s = time.monotonic() + _DERIVE_S
        while True:
            ends = self._tail.let(self._live_vector()[1])
            at = self._tail.filler.at
            is_near = bool(at) and sum(behind(at, ends).values()) <= NEAR_RECORDS
            if is_near and (time.monotonic() > until_s or self._derived()):
                return
            self._breathe()

    def _derived(self) -> bool:
        derive = self._one.derive
        if derive is None:
            return True
        live, _ = self._live_vector()
        with pooled_snapshot(self._engine) as session:
            stale = stale_keys(session, self._generation.schema_name, derive)
            if not stale or live.fingerprint != self._generation.fingerprint:
                return not stale
            return stale <= stale_keys(session, live.schema_name, derive)

    def verify(self) -> Verified:
        """Compare at one vector. Where the new generation is ahead (who worked before was lost behind the comparison), it waits
        until the live one has come up. Raises RebuildFailed when that one stands still."""
        stood: Vector = {}
        since_s = time.monotonic()
        while True:
            live, vector = self._live_vector()
            if ahead := self._ahead(vector):
                now_s = time.monotonic()
                if vector != stood:
                    stood, since_s = vector, now_s
                self._wait_for_live(live, ahead, now_s - since_s)
                self._pause()
                continue
            self._wait("")
            with pooled_snapshot(self._engine) as session:
                held_ms = self._one_vector(session, live)
                if held_ms is not None:
                    _log.info("vectors_equal", projection=self._one.name, hold_ms=round(held_ms, 1))
                    return self._compared(session, live, held_ms)
            self._pause()

    def swap(self, verified: Verified) -> store.Rebuild:
        """Close the tail and lead readers over, from what was compared. Raises RebuildFailed, RebuildRefused."""
        from_generation = verified.live.number
        if faults.has(faults.Bug.NO_HOLD):
            self._tail.close()
            time.sleep(_CARELESS_S)
        else:
            self._tail.open()
        while True:
            live, _ = self._live_vector()
            if live.number != from_generation:
                raise RebuildFailed(
                    f"generation {live.number} became the live one meanwhile, and generation {from_generation} was compared",
                    remedy="Order another rebuild.",
                )
            with self._engine.connect() as connection:
                protection = security_differences(connection, live.schema_name, self._generation.schema_name)
            if protection != verified.security:
                raise RebuildFailed(
                    "row security, policies or grants were changed since both were compared",
                    remedy=f"See that they are as they should be, then resume: millstream projection resume {self._one.name}",
                )
            if not self._derived_as_far(live):
                self._pause()
                continue
            try:
                done = lead(
                    self._engine,
                    live,
                    self._target(),
                    lambda vector: self._reached(vector) and self._derived_as_far(live),  # noqa: B023 - called at once
                    self._record,
                    self._one.derive,
                )
            except HoldLost as error:
                _log.info("hold_lost", projection=self._one.name, reason=str(error))
                done = None
                if swapped := self._swapped_all_the_same():
                    return swapped
            if done is not None:
                hold_ms = max(done.hold_ms, self._watch.rebuild.hold_ms or 0.0)
                with self._engine.begin() as connection:
                    return store.write(
                        connection, self._watch.rebuild.id, swap_ms=done.swap_ms, hold_ms=hold_ms
                    )
            self._pause()

    def _derived_as_far(self, live: LiveGeneration) -> bool:
        """Whether no derived row is older than readers see it now. Without a hold, which would make the live generation wait."""
        derive = self._one.derive
        if derive is None or faults.has(faults.Bug.NO_HOLD):
            return True
        with self._engine.connect() as connection:
            older = older_keys(connection, derive, live, self._generation)
        if older:
            self._wait(
                f"derived rows of {derive.key} {older[0]}"
                + (f" and {len(older) - 1:,} more" if len(older) > 1 else "")
                + f" are older than in generation {live.number}: it waits until they have come up"
            )
        return not older

    def _wait(self, reason: str) -> None:
        """Say in the row what is waited for."""
        if self._watch.rebuild.reason != reason:
            self._watch.write(reason=reason)

    def _swapped_all_the_same(self) -> store.Rebuild | None:
        """The swap was committed, and only the answer was lost."""
        with self._engine.connect() as connection:
            found = store.find(connection, self._watch.rebuild.id)
        return found if found.state is RebuildState.SWAPPED else None

    def _one_vector(self, session: Session, live: LiveGeneration) -> float | None:
        """Open ``session``'s snapshot where both stand at one vector; how long (ms) the live one was held, None: not managed."""
        try:
            with hold(self._engine, live.schema_name) as held:
                if not held.wait(self._reached):
                    return None
                vectors = [
                    replayed_at(session, name) for name in (live.schema_name, self._generation.schema_name)
                ]
                held_ms = held.held_ms
        except HoldLost as error:
            _log.info("hold_lost", projection=self._one.name, reason=str(error))
            return None
        return held_ms if same(vectors[1], vectors[0], self._transient) else None

    def _compared(self, session: Session, live: LiveGeneration, held_ms: float) -> Verified:
        at_live = replayed_at(session, live.schema_name)
        at_new = replayed_at(session, self._generation.schema_name)
        with KafkaAdmin(self._settings) as admin:
            marks: Marks = {topic.value: admin.watermarks(topic) for topic in self._one.topics}
        comparison = compare_generations(
            session,
            self._one,
            (live.number, live.schema_name),
            (self._generation.number, self._generation.schema_name),
            {place: at for place, at in at_live.items() if at_new.get(place) == at},
            lost_starts(marks),
            tick=lambda: self._watch.tick(self._tail.filler.at),
        )
        if comparison.stale:
            _log.warning("derived_rows_not_compared", projection=self._one.name, keys=comparison.stale)
        with self._engine.connect() as connection:
            security = security_differences(connection, live.schema_name, self._generation.schema_name)
            by_hand = changed_by_hand(connection, live.schema_name)
        return Verified(
            live=live, comparison=comparison, security=security, changed_by_hand=by_hand, hold_ms=held_ms
        )

    def _reached(self, live: Vector) -> bool:
        return self._tail.filler.reached(self._tail.let(live))

    def _ahead(self, live: Vector) -> dict[Partition, int]:
        """Where the new generation is ahead of the live one, and by how many offsets; both are compared at one vector only."""
        return {
            place: ahead
            for place, ahead in behind(live, self._tail.filler.at).items()
            if place in live and place[0] not in self._transient
        }

    def _wait_for_live(self, live: LiveGeneration, ahead: Mapping[Partition, int], still_s: float) -> None:
        topic, number = min(ahead)
        what = f"the new generation is {sum(ahead.values()):,} records ahead of generation {live.number}, first at {topic}/{number}"
        if still_s > _STILL_S:
            raise RebuildFailed(
                f"{what}, and that one does not move: they cannot be compared",
                remedy="Start a projector of the build that folds it, then resume: millstream projection resume "
                f"{self._one.name}; if there is none any more, cancel it and order another.",
            )
        self._wait(f"{what}: it waits until that one has come up")

    def _record(self, connection: Connection) -> None:
        store.step(connection, self._watch.rebuild.id, Step.SWAP, reason="", eta_s=None, events_per_s=0.0)

    def _target(self) -> Target:
        made = self._generation
        return Target(
            number=made.number,
            schema_name=made.schema_name,
            version=made.version,
            fingerprint=made.fingerprint,
        )

    def _live_vector(self) -> tuple[LiveGeneration, dict[Partition, int]]:
        with self._engine.connect() as connection:
            live = require_live(connection, self._one.name)
            return live, vector_of(connection, live.schema_name)

    def _pause(self) -> None:
        """Before another attempt: the tail catches up meanwhile."""
        until_s = time.monotonic() + _RETRY_S
        while time.monotonic() < until_s:
            self._breathe()

    def _breathe(self) -> None:
        self._tail.filler.check()
        require_alone(self._tail.filler)
        self._watch.tick(self._tail.filler.at)
        time.sleep(_PAUSE_S)


def require_live(connection: Connection, projection: str) -> LiveGeneration:
    """Raises RebuildFailed when there is nothing beside which to rebuild."""
    live = live_generations(connection).get(projection)
    if live is None:
        raise RebuildFailed(
            f"the projection {projection} does not exist yet",
            remedy="Start the projector, which makes its first generation: millstream projector",
        )
    return live


def lost_starts(marks: Marks) -> Mapping[Partition, int]:
    """The starts of partitions that have lost records."""
    return {place: at for place, at in starts(marks).items() if at > 0}


def now() -> datetime:
    """For the rebuild's row."""
    return datetime.now(UTC)
