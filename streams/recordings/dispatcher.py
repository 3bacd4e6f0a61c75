"""The dispatcher: one per cluster, picks what is counted next and says so (DESIGN section 6).

A leader timer drives it. Two leaders for a moment would do no harm (ids follow from the requests), and an advisory
lock keeps it to one. What was dispatched is kept in memory until the jobs projection shows it; a new leader first
waits until that projection has passed the ends of ``work.*`` as read at take-over. Site settings are read at every look.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from infra import metrics
from infra.kafka.partitioner import partition_for
from projections.reading import Reader
from projections.recordings import queries as recordings
from schemas.events import DispatchedRequest, Lane
from schemas.topics import Topic
from streams.agent import Context, Outgoing, Timer
from streams.leases import Locks
from streams.projected import EndsOfTopics, Vector
from streams.recordings.dispatch import Outstanding, RequestKey, dispatches, key_of
from streams.recordings.looking import PROJECTIONS, Handlers, Looker, Seen, now_s
from streams.recordings.refusals import Refusal
from streams.recordings.token_bucket import Bucket

SOURCE: Final = "//millstream/dispatcher"
OFFICE: Final = "dispatcher"
TICK_S: Final = 0.05
LOOK_S: Final = 0.25
BUSY_LOOK_S: Final = 0.15
"""Between two looks while work is in flight: two seconds of it are, so that looking more often only costs."""
RESIGN_CHECK_S: Final = 1.0
_WORK: Final = (Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND)
_READY_CHECK_S: Final = 0.5
_log = structlog.get_logger()


class DispatchPolicy(msgspec.Struct, frozen=True):
    """``handlers`` of one worker; ``deadline_s``: how long a dispatched request may take before someone asks."""

    handlers: int
    partitions: int
    deadline_s: float = 3600.0


class Office:
    """What is read and held outside: kept apart so that the loop below is short."""

    def __init__(
        self,
        reader: Reader,
        log_ends: EndsOfTopics,
        locks: Locks,
        live_workers: Callable[[], int],
        bucket: Bucket,
    ) -> None:
        self.reader = reader
        self.log_ends = log_ends
        self.locks = locks
        self.live_workers = live_workers
        self.bucket = bucket


class Dispatcher:
    """Holds what is in flight. All of its methods run on the event loop, one tick at a time."""

    def __init__(
        self, office: Office, policy: DispatchPolicy, context: Context, is_leader: Callable[[], bool]
    ) -> None:
        self._office = office
        self._policy = policy
        self._context = context
        self._is_leader = is_leader
        self._holds = False
        self._take_over: Vector | None = None
        self._outstanding: dict[RequestKey, Outstanding] = {}
        self._refused: dict[RequestKey, Outstanding] = {}
        self._looker = Looker(office.bucket)
        self._ready_checked_s = float("-inf")
        self._seen_moves = -1
        self._looked_s = float("-inf")
        self._look_took_s = 0.0
        self._workers = 1
        self._ticking = asyncio.Lock()

    @property
    def timers(self) -> tuple[Timer, ...]:
        return (
            Timer(name="dispatcher", interval_s=TICK_S, tick=self.tick),
            Timer(
                name="dispatcher.resign",
                interval_s=RESIGN_CHECK_S,
                tick=self.resign_unless_leader,
                on_leader=False,
            ),
        )

    async def tick(self) -> None:
        """Take the office if it is free, then fill the lanes."""
        if self._ticking.locked():
            return
        async with self._ticking:
            if not self._holds:
                self._holds = await asyncio.to_thread(self._office.locks.try_lease, OFFICE, 0)
                if not self._holds:
                    return
                self._take_over = await asyncio.to_thread(self._office.log_ends.ends, _WORK)
                _log.info("dispatcher_took_over")
            if self._take_over is not None and not await self._taken_over(self._take_over):
                return
            await self._fill()

    def look_again(self) -> None:
        """Let the next tick look at once, at readiness too."""
        self._looked_s = self._ready_checked_s = float("-inf")
        self._look_took_s = 0.0
        self._looker.look_again()

    async def resign_unless_leader(self) -> None:
        """Give the office back when Kafka has made another process the leader."""
        async with self._ticking:
            if self._holds and not self._is_leader():
                await asyncio.to_thread(self._office.locks.release_lease, OFFICE, 0)
                self._holds, self._take_over = False, None
                self._outstanding.clear()
                self._refused.clear()
                self._looker = Looker(self._office.bucket)

    async def _taken_over(self, ends: Vector) -> bool:
        if not await asyncio.to_thread(self._office.reader.wait_until, "recordings", ends, 1.0):
            return False
        self._outstanding = await asyncio.to_thread(self._read_in_flight)
        self._take_over = None
        return True

    async def _fill(self) -> None:
        """Look when a projection has moved, and now and then in any case: a notice can be lost, tokens come by time."""
        at_s = now_s()
        moves = self._office.reader.moves
        pace_s = LOOK_S if moves == self._seen_moves else BUSY_LOOK_S if self._outstanding else 0.0
        # A look that takes long (all repositories of a long queue are still cloned) takes half of the time at most.
        if at_s - self._looked_s < max(pace_s, 2 * self._look_took_s):
            return
        self._seen_moves, self._looked_s = moves, at_s
        if at_s - self._ready_checked_s > _READY_CHECK_S:
            self._ready_checked_s = at_s
            await asyncio.to_thread(self._forget_settled)
            self._workers = max(1, await asyncio.to_thread(self._office.live_workers))
        seen = await asyncio.to_thread(self._look, at_s)
        self._look_took_s = now_s() - at_s
        self._outstanding, self._refused = seen.left, seen.ending
        if seen.unknown:
            ends = await asyncio.to_thread(self._office.log_ends.ends, (Topic.INSIGHTS,))
            self._looker.series.hold(seen.unknown, ends)
        if seen.refused:
            await self._refuse(seen.refused)
        if seen.picked:
            await self._dispatch(seen)
        for lane in Lane:
            in_flight = sum(one.lane is lane for one in self._outstanding.values())
            metrics.REQUESTS_IN_FLIGHT.labels(lane.value).set(in_flight)

    async def _refuse(self, refusals: Sequence[Refusal]) -> None:
        """Say that they are not counted, and keep them in memory until the projection shows it."""
        now = self._context.now()
        await self._context.publish([Outgoing(one.event(SOURCE, now)) for one in refusals])
        for one in refusals:
            self._refused[key_of(one.request)] = Outstanding(one.request.lane, one.attempt)
        reasons = sorted({one.reason for one in refusals})
        _log.warning("refused", requests=len(refusals), reasons=reasons)

    async def _dispatch(self, seen: Seen) -> None:
        now = self._context.now()
        deadline = now + timedelta(seconds=max(self._policy.deadline_s, 2 * seen.site.timeout_s))
        events = dispatches(seen.picked, self._partitions_of(seen.picked), deadline)
        await self._context.publish([Outgoing(one.event(SOURCE, now), one.topic) for one in events])
        for one in seen.picked:
            self._outstanding[key_of(one.request)] = Outstanding(one.request.lane, one.attempt)
        _log.info("dispatched", requests=len(seen.picked), events=len(events))

    def _partitions_of(self, requests: Sequence[DispatchedRequest]) -> dict[int, int]:
        ids = {one.request.repository_id for one in requests}
        return {number: partition_for(str(number), self._policy.partitions) for number in ids}

    def _look(self, at_s: float) -> Seen:
        """Runs on a thread: it reads the projections."""
        handlers = Handlers(self._workers, self._policy.handlers)
        with self._office.reader.snapshot(PROJECTIONS) as snapshot:
            return self._looker.look(snapshot, self._outstanding, self._refused, handlers, at_s)

    def _forget_settled(self) -> None:
        with self._office.reader.snapshot(("repositories",)) as snapshot:
            self._looker.readiness.forget_settled(snapshot.connection)

    def _read_in_flight(self) -> dict[RequestKey, Outstanding]:
        with self._office.reader.snapshot(("recordings",)) as snapshot:
            return {
                key_of(one.request): Outstanding(one.request.lane, one.attempt)
                for one in recordings.in_flight(snapshot.connection)
            }
