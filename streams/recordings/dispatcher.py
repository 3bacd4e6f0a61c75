"""The dispatcher: one per cluster, picks what is counted next and says so (DESIGN section 6).

A leader timer drives it. Two leaders for a moment would do no harm (ids follow from the requests), and an advisory
lock keeps it to one. What was dispatched is kept in memory until the jobs projection shows it; a new leader first
waits until that projection has passed the ends of ``work.*`` as read at take-over.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection

from infra.kafka.partitioner import partition_for
from projections.insights import queries as insights
from projections.reading import Reader
from projections.recordings import queries as recordings
from projections.repositories import queries as repositories
from schemas.codec import new_event
from schemas.events import DispatchedRequest, Lane, RepositoryLocation, SearchFailed
from schemas.topics import Topic
from streams.agent import Context, Outgoing, Timer
from streams.leases import Locks
from streams.projected import EndsOfTopics, Vector
from streams.recordings.counting import failed_id
from streams.recordings.dispatch import (
    Dispatch,
    Outcome,
    Outstanding,
    RequestKey,
    dispatches,
    in_order,
    key_of,
    pause_after_s,
    reckon,
)
from streams.recordings.window import Window

SOURCE: Final = "//millstream/dispatcher"
OFFICE: Final = "dispatcher"
TICK_S: Final = 0.05
LOOK_S: Final = 0.25
BUSY_LOOK_S: Final = 0.15
"""Between two looks while work is in flight: two seconds of it are, so that looking more often only costs."""
RESIGN_CHECK_S: Final = 1.0
_WORK: Final = (Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND)
NOT_THE_SERIES: Final = "not-the-series"
INTERACTIVE: Final = "interactive"
_WINDOWS: Final = {INTERACTIVE: (Lane.INTERACTIVE,), "background": (Lane.SCHEDULED, Lane.BACKFILL)}
_READY_CHECK_S: Final = 0.5
_LARGEST_PICK: Final = 2_000
_LARGEST_PAGE: Final = 5_000
_log = structlog.get_logger()


class DispatchPolicy(msgspec.Struct, frozen=True):
    """``handlers`` of one worker; ``deadline_s``: how long a dispatched request may take before someone asks."""

    handlers: int
    partitions: int
    deadline_s: float = 3600.0


class Office:
    """What is read and held outside: kept apart so that the loop below is short."""

    def __init__(
        self, reader: Reader, log_ends: EndsOfTopics, locks: Locks, live_workers: Callable[[], int]
    ) -> None:
        self.reader = reader
        self.log_ends = log_ends
        self.locks = locks
        self.live_workers = live_workers


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
        self._windows = {name: Window() for name in _WINDOWS}
        self._paused_until_s: dict[RequestKey, float] = {}
        self._not_ready: set[int] = set()
        self._refused: list[DispatchedRequest] = []
        self._ready_checked_s = 0.0
        self._seen_moves = -1
        self._looked_s = 0.0
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

    async def resign_unless_leader(self) -> None:
        """Give the office back when Kafka has made another process the leader."""
        async with self._ticking:
            if self._holds and not self._is_leader():
                await asyncio.to_thread(self._office.locks.release_lease, OFFICE, 0)
                self._holds, self._take_over = False, None
                self._outstanding.clear()

    async def _taken_over(self, ends: Vector) -> bool:
        if not await asyncio.to_thread(self._office.reader.wait_until, "recordings", ends, 1.0):
            return False
        self._outstanding = await asyncio.to_thread(self._read_in_flight)
        self._take_over = None
        return True

    async def _fill(self) -> None:
        """Look when a projection has moved, and now and then in any case: a notice can be lost."""
        now_s = time.monotonic()
        moves = self._office.reader.moves
        since_s = now_s - self._looked_s
        if since_s < (LOOK_S if moves == self._seen_moves else BUSY_LOOK_S if self._outstanding else 0.0):
            return
        self._seen_moves, self._looked_s = moves, now_s
        if now_s - self._ready_checked_s > _READY_CHECK_S:
            self._ready_checked_s = now_s
            await asyncio.to_thread(self._forget_settled)
            self._workers = max(1, await asyncio.to_thread(self._office.live_workers))
        picked = await asyncio.to_thread(self._pick, now_s)
        if self._refused:
            await self._refuse(self._refused)
            self._refused = []
        if not picked:
            return
        partition_of = {
            one.request.repository_id: partition_for(str(one.request.repository_id), self._policy.partitions)
            for one in picked
        }
        deadline = self._context.now() + timedelta(seconds=self._policy.deadline_s)
        await self._publish(dispatches(picked, partition_of, deadline))
        for one in picked:
            self._outstanding[key_of(one.request)] = Outstanding(one.request.lane, one.attempt)

    async def _refuse(self, requests: Sequence[DispatchedRequest]) -> None:
        """Say that they are not counted. No cell is named: what the series itself asks for stays open."""
        now = self._context.now()
        outcomes = [
            SearchFailed(
                request_id=one.request.request_id,
                repository_id=one.request.repository_id,
                insight_id=one.request.insight_id,
                attempt=one.attempt,
                reason=NOT_THE_SERIES,
                message="a requested series has another query or interval than the series of that id",
                final=True,
                series=[],
            )
            for one in requests
        ]
        await self._context.publish(
            [
                Outgoing(
                    new_event(
                        one,
                        source=SOURCE,
                        time=now,
                        event_id=failed_id(one),
                        correlation_id=one.request_id,
                    )
                )
                for one in outcomes
            ]
        )
        for one in requests:
            self._outstanding[key_of(one.request)] = Outstanding(one.request.lane, one.attempt)
        _log.warning("refused", requests=len(requests), reason=NOT_THE_SERIES)

    async def _publish(self, events: Sequence[Dispatch]) -> None:
        now = self._context.now()
        await self._context.publish(
            [
                Outgoing(new_event(one.payload, source=SOURCE, time=now, event_id=one.event_id), one.topic)
                for one in events
            ]
        )
        _log.info("dispatched", requests=sum(len(one.payload.requests) for one in events), events=len(events))

    def _pick(self, now_s: float) -> list[DispatchedRequest]:
        """What goes next. Runs on a thread: it reads the projections."""
        with self._office.reader.snapshot(("insights", "recordings", "repositories")) as snapshot:
            connection = snapshot.connection
            before = self._outstanding
            reckoning = reckon(before, _outcomes(recordings.attempts(connection, before)))
            self._outstanding = reckoning.left
            for key, attempt in reckoning.errored.items():
                self._paused_until_s[key] = now_s + pause_after_s(attempt)
            self._paused_until_s = {
                key: until for key, until in self._paused_until_s.items() if until > now_s
            }
            hidden = {*self._outstanding.keys() - reckoning.visible, *self._paused_until_s}
            picked: list[DispatchedRequest] = []
            for name, lanes in _WINDOWS.items():
                in_flight = sum(one.lane in lanes for one in self._outstanding.values())
                ended = sum(one.lane in lanes for one in before.values()) - in_flight
                self._windows[name].observe(ended, in_flight=in_flight, now=now_s)
                handlers = self._workers * (1 if name == INTERACTIVE else self._policy.handlers)
                room = min(self._windows[name].size(handlers) - in_flight, _LARGEST_PICK)
                # Each lane gets its share first, then whoever waits gets what is left.
                for wanted, lane in [
                    *((room // len(lanes), lane) for lane in lanes),
                    *((room, lane) for lane in lanes),
                ]:
                    found = self._pick_lane(connection, lane, min(wanted, room), hidden)
                    hidden.update(key_of(one.request) for one in found)
                    picked += found
                    room -= len(found)
            return self._of_their_series(connection, picked)

    def _of_their_series(
        self, connection: Connection, picked: Sequence[DispatchedRequest]
    ) -> list[DispatchedRequest]:
        """Without those that contradict a series' definition: anybody may ask, and two grids have no common points."""
        if not picked:
            return []
        asked = {series.series_id for one in picked for series in one.request.series}
        known = insights.grids_of(connection, asked)
        good: list[DispatchedRequest] = []
        for one in picked:
            fits = all(
                known.get(series.series_id, found) == found
                for series in one.request.series
                for found in [(series.query, series.unit, series.value)]
            )
            (good if fits else self._refused).append(one)
        return good

    def _pick_lane(
        self, connection: Connection, lane: Lane, wanted: int, hidden: set[RequestKey]
    ) -> list[DispatchedRequest]:
        """Up to ``wanted`` requests whose repository is ready, or failed to become so (the runner says why).

        What is not ready is remembered by repository, and each look at the queue takes twice as many as the one
        before: thousands of repositories that are still cloned cost a handful of reads, once.
        """
        found: list[DispatchedRequest] = []
        page = wanted
        while len(found) < wanted:
            taken = hidden.union(key_of(one.request) for one in found)
            waiting = recordings.pending(connection, lane, page, taken, self._not_ready)
            if not waiting:
                break
            page = min(page * 2, max(wanted, _LARGEST_PAGE))
            known = repositories.by_ids(connection, {one.request.repository_id for one in waiting})
            for one in waiting:
                repository = known.get(one.request.repository_id)
                if repository is None or repository.clone_state == "waiting":
                    self._not_ready.add(one.request.repository_id)
                    continue
                if len(found) == wanted:
                    break
                location = RepositoryLocation(
                    path=repository.path,
                    clone_url=repository.clone_url,
                    default_branch=repository.default_branch,
                )
                found.append(
                    DispatchedRequest(request=one.request, attempt=one.attempts + 1, location=location)
                )
        return list(in_order(found))

    def _forget_settled(self) -> None:
        """Repositories that have become ready since are looked at again."""
        if self._not_ready:
            with self._office.reader.snapshot(("repositories",)) as snapshot:
                self._not_ready -= repositories.settled(snapshot.connection, self._not_ready)

    def _read_in_flight(self) -> dict[RequestKey, Outstanding]:
        with self._office.reader.snapshot(("recordings",)) as snapshot:
            return {
                key_of(one.request): Outstanding(one.request.lane, one.attempt)
                for one in recordings.in_flight(snapshot.connection)
            }


def _outcomes(shown: Mapping[RequestKey, recordings.Attempts]) -> dict[RequestKey, Outcome]:
    return {
        key: Outcome(
            ended=found.state in ("completed", "failed"),
            dispatched_attempt=found.dispatched,
            failed_attempt=found.failed,
        )
        for key, found in shown.items()
    }
