"""The recorder: counts the present (DESIGN section 7, Frames). On a push the newest state of the repository; at each
grid instant every due series.

Recordings go out over a window, each repository at its own moment, and the plan that announces them after the last of
them: a frame appears on a chart when all of it was asked for. What was missed while nothing ran is asked for at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog

from projections.reading import AppliedPosition, Reader
from projections.series_points.queries import Asked
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    ObligationRenewed,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
)
from schemas.registry import Payload
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received, Timer
from streams.insights.due import (
    Due,
    Open,
    due_at,
    due_series,
    open_of,
    owned_series,
    recording_plans,
    recording_requests,
    snapshot_requests,
)
from streams.insights.knowledge import DEFINITIONS, PLANS, RESULTS, TOPICS, Defined, Knowledge
from streams.insights.plan import Definition
from streams.insights.scope import Repository, repositories_in_scope
from streams.obligations.names import Owing, renewed
from streams.projected import EndsOfTopics, Wait
from streams.repositories.polling import spread
from streams.search.engine import MATCHER_VERSION

SOURCE: Final = "//millstream/recorder"
TICK_S: Final = 1.0
READ_AGAIN_S: Final = 5.0
_CHUNK_PAIRS: Final = 5_000
_log = structlog.get_logger()


class _Key(msgspec.Struct, frozen=True):
    """What decides the recordings: when it is as it was, nothing new is due."""

    due: tuple[tuple[str, int, int], ...]
    repositories: tuple[Repository, ...]


class _Read(msgspec.Struct, frozen=True):
    """What was read at ``at_s`` (monotonic), and how far its projections were before."""

    vector: tuple[AppliedPosition, ...]
    definitions: Sequence[Definition]
    at_s: float


class _Round(msgspec.Struct):
    """The recordings of the newest grid instants: whose turn is still to come, and what was asked so far."""

    key: _Key
    dues: dict[int, list[Due]]
    turns: deque[tuple[datetime, int]]
    asked: dict[int, list[Open]]
    requests: int = 0


class Recorder:
    """One per process; its timer runs in the leader."""

    def __init__(self, reader: Reader, log_ends: EndsOfTopics, context: Context) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._context = context
        self._knowledge = Knowledge(reader)
        self._settled: _Key | None = None
        self._read: _Read | None = None
        self._round: _Round | None = None
        self._ticking = asyncio.Lock()

    @property
    def specs(self) -> tuple[AgentSpec, ...]:
        return (
            AgentSpec(
                name="recorder",
                topics=(Topic.REPOSITORIES,),
                types=(RepositoryPushed, ObligationRenewed),
                handler=self.pushed,
                within_s=0.02,
            ),
        )

    @property
    def timer(self) -> Timer:
        return Timer(name="recorder.due", interval_s=TICK_S, tick=self.tick)

    async def pushed(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Ask for the newest state of each repository: of all series that are planned there, or will be."""
        causes: dict[int, Event] = {}
        for received in batch:
            data = received.event.data
            again = renewed(received.event, Owing.PUSH_SNAPSHOT)
            if isinstance(data, RepositoryPushed):
                causes[data.repository_id] = received.event
            elif again is not None:
                causes[again.aggregate_id] = received.event
        if not causes:
            return ()
        wait = await Wait.on_receipt(self._reader, self._log_ends, TOPICS)
        await wait.passed({**DEFINITIONS, **PLANS})
        defined = await asyncio.to_thread(self._knowledge.defined, causes)
        requests = await asyncio.to_thread(self._snapshots, defined)
        now = context.now()
        await context.publish([_asked(one, causes[one.repository_id], now) for one in requests])
        if requests:
            _log.info("snapshots", pushes=len(causes), requests=len(requests))
        return ()

    async def tick(self) -> None:
        """Ask for what is due now."""
        if not self._ticking.locked():
            async with self._ticking:
                now = self._context.now()
                if await asyncio.to_thread(self._is_news, now, time.monotonic()):
                    await self.record(now)

    async def record(self, now: datetime) -> int:
        """Ask for what is due at ``now``; how many requests were made."""
        vector = await asyncio.to_thread(self._vector)
        defined = await asyncio.to_thread(self._knowledge.defined)
        self._read = _Read(vector, defined.definitions, time.monotonic())
        key = _key(defined, now)
        if key == self._settled:
            return 0
        if not key.due:
            self._settled = key
            return 0
        if self._round is None or self._round.key != key:
            window_s = await asyncio.to_thread(self._knowledge.window_s)
            self._round = await asyncio.to_thread(_round, key, defined, now, window_s)
        try:
            return await self._go_on(self._round, now)
        except BaseException:
            self._round = None  # what was half asked is asked again, under the same ids
            raise

    def _is_news(self, now: datetime, now_s: float) -> bool:
        """Whether anything can be due that was not: cheap, since it is asked every second."""
        if self._read is None or self._settled is None or self._round is not None:
            return True
        if _due_key(self._read.definitions, now) != self._settled.due:
            return True
        return now_s - self._read.at_s >= READ_AGAIN_S and self._vector() != self._read.vector

    def _vector(self) -> tuple[AppliedPosition, ...]:
        """How far definitions and repositories are projected."""
        return tuple(one for name in DEFINITIONS for one in self._reader.applied(name))

    async def _go_on(self, current: _Round, now: datetime) -> int:
        """Take the turns that have come; after the last one, announce what was asked."""
        if current.turns and current.turns[0][0] > now:
            return 0
        wait = await Wait.on_receipt(self._reader, self._log_ends, TOPICS)
        await wait.passed({**DEFINITIONS, **RESULTS})
        made = 0
        while chunk := _turns(current, now):
            opened = await asyncio.to_thread(self._opened, current, chunk)
            requests = [
                request for key, found in opened.items() for request in recording_requests(key, found)
            ]
            await self._context.publish([_asked(one, None, now) for one in requests])
            current.asked.update(opened)
            made += len(requests)
        current.requests += made
        if current.turns:
            return made
        plans = await asyncio.to_thread(recording_plans, current.asked, wait.vector)
        await self._context.publish([_said(plan, now, event_id, None) for event_id, plan in plans])
        self._settled, self._round = current.key, None
        if current.requests or plans:
            _log.info("recorded", requests=current.requests, plans=len(plans))
        return made

    def _opened(self, current: _Round, repository_ids: Sequence[int]) -> dict[int, list[Open]]:
        """What is not planned in these repositories."""
        known = self._knowledge.missing(
            [
                Asked(due.series.series_id, repository_id, due.first, due.end)
                for repository_id in repository_ids
                for due in current.dues[repository_id]
            ]
        )
        found: dict[int, list[Open]] = {}
        for repository_id in repository_ids:
            for due in current.dues[repository_id]:
                cells = known.get((due.series.series_id, repository_id))
                left = None if cells is None else open_of(due, cells.planned, cells.covered)
                if left is not None:
                    found.setdefault(repository_id, []).append(left)
        return found

    def _snapshots(self, defined: Defined) -> list[RecordingRequest]:
        """One request per repository. A series counts where it is planned, and where it is about to be: its planner
        may have read the repository before this push."""
        owned = owned_series(defined.definitions)
        if not owned or not defined.targets:
            return []
        planned, bases = self._knowledge.planned_and_counted(list(owned), list(defined.targets))
        scopes = {
            series_id: frozenset(repositories_in_scope(one.series, defined.repositories))
            for series_id, one in owned.items()
        }
        found: list[RecordingRequest] = []
        for repository_id, target in sorted(defined.targets.items()):
            pairs = {series_id: (series_id, repository_id) for series_id in owned}
            found += snapshot_requests(
                repository_id,
                target,
                [
                    owned[series_id]
                    for series_id, pair in pairs.items()
                    if repository_id in scopes[series_id] or pair in planned
                ],
                {series_id: bases[pair] for series_id, pair in pairs.items() if pair in bases},
                MATCHER_VERSION,
            )
        return found


def _key(defined: Defined, now: datetime) -> _Key:
    return _Key(_due_key(defined.definitions, now), tuple(defined.repositories))


def _due_key(definitions: Sequence[Definition], now: datetime) -> tuple[tuple[str, int, int], ...]:
    return tuple((due.series.series_id, due.first, due.end) for due in due_series(definitions, now))


def _round(key: _Key, defined: Defined, now: datetime, window_s: float) -> _Round:
    dues: dict[int, list[Due]] = {}
    for due in due_series(defined.definitions, now):
        for repository_id in repositories_in_scope(due.series, defined.repositories):
            dues.setdefault(repository_id, []).append(due)
    turns = sorted((due_at(spread(key), found, window_s), key) for key, found in dues.items())
    return _Round(key, dues, deque(turns), {})


def _turns(current: _Round, now: datetime) -> list[int]:
    """The next repositories whose turn has come, as many as are read together."""
    chunk: list[int] = []
    pairs = 0
    while current.turns and current.turns[0][0] <= now and pairs < _CHUNK_PAIRS:
        repository_id = current.turns.popleft()[1]
        chunk.append(repository_id)
        pairs += len(current.dues[repository_id])
    return chunk


def _asked(request: RecordingRequest, cause: Event | None, now: datetime) -> Outgoing:
    return _said(RecordingRequested(request=request), now, request.request_id, cause)


def _said(payload: Payload, now: datetime, event_id: str, cause: Event | None) -> Outgoing:
    return Outgoing(new_event(payload, source=SOURCE, time=now, event_id=event_id, cause=cause))
