"""The query runner: counts what was dispatched, in processes, and publishes what it found (DESIGN section 6).

It reads no projection: a dispatched request carries all it needs. Each result is published as it comes; the batch
is acknowledged when all of them are on the log.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import DispatchedRequest, RecordingDispatched, SearchCompleted, SearchFailed
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.leases import Leases
from streams.recordings.counter import Counted, CountTask, NotCounted, Reply
from streams.recordings.counting import (
    Task,
    commits_of,
    count_request,
    failed,
    failed_id,
    limit_s,
    passes,
    refused,
    task_of,
)
from streams.recordings.pool import CountingPool
from streams.recordings.results import completed, completed_id
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused

SOURCE: Final = "//millstream/queryrunner"
_REMEMBERED: Final = 20_000
_log = structlog.get_logger()

Attempt = tuple[int, str, int]
"""(repository id, request id, attempt)."""


class RunnerPolicy(msgspec.Struct, frozen=True):
    """``timeout_s``: longest pass over one repository, where the dispatched request names none."""

    timeout_s: float = 3600.0


class Work(msgspec.Struct, frozen=True):
    """One dispatched request and the event that carried it."""

    cause: Event
    dispatched: DispatchedRequest


class QueryRunner:
    """Two agents of one process: each lane has its own topic and handlers."""

    def __init__(
        self,
        clones: Clones,
        leases: Leases,
        interactive: CountingPool,
        background: CountingPool,
        policy: RunnerPolicy,
    ) -> None:
        self._clones = clones
        self._leases = leases
        self._pools = {Topic.WORK_INTERACTIVE: interactive, Topic.WORK_BACKGROUND: background}
        self._policy = policy
        self._done: OrderedDict[Attempt, None] = OrderedDict()

    @property
    def specs(self) -> tuple[AgentSpec, ...]:
        return tuple(
            AgentSpec(
                name=f"runner.{topic.value.rpartition('.')[2]}",
                topics=(topic,),
                types=(RecordingDispatched,),
                handler=self.handle,
                max_batch=200,
                within_s=0.02,
            )
            for topic in self._pools
        )

    async def warm_up(self) -> None:
        """Start the counting processes."""
        for pool in self._pools.values():
            await pool.warm_up()

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Count all of the batch: repositories in parallel, each partition under its lease."""
        by_partition: dict[int, dict[int, dict[Attempt, Work]]] = defaultdict(lambda: defaultdict(dict))
        for received in batch:
            if not isinstance(received.event.data, RecordingDispatched):
                continue
            for one in received.event.data.requests:
                repositories = by_partition[received.position.partition]
                attempt = _attempt(one)
                # A batch that was not acknowledged in time comes again: what is on the log already is not redone.
                if attempt not in self._done:
                    repositories[one.request.repository_id][attempt] = Work(received.event, one)
        pool = self._pools[Topic(batch[0].position.topic)]
        async with asyncio.TaskGroup() as group:
            for partition, repositories in by_partition.items():
                group.create_task(self._partition(partition, repositories, pool, context))
        return ()

    async def _partition(
        self,
        partition: int,
        repositories: dict[int, dict[Attempt, Work]],
        pool: CountingPool,
        context: Context,
    ) -> None:
        async with self._leases.partition(partition), asyncio.TaskGroup() as group:
            for works in sorted(repositories.values(), key=_cost, reverse=True):
                group.create_task(self._repository(list(works.values()), pool, context))

    async def _repository(self, works: Sequence[Work], pool: CountingPool, context: Context) -> None:
        """All requests for one repository: in one pass where that is possible."""
        causes = {_attempt(work.dispatched): work.cause for work in works}
        tasks = [task_of(work.dispatched) for work in works]
        outcomes: list[SearchCompleted | SearchFailed] = []
        for together in passes(tasks):
            reply = await self._count(together, pool)
            if isinstance(reply, Counted):
                outcomes += completed(together, reply.result)
            else:
                outcomes += [failed(task, reply.reason, reply.message) for task in together]
                _log.warning(
                    "not_counted",
                    repository=together[0].dispatched.request.repository_id,
                    reason=reply.reason,
                    message=reply.message,
                )
        # A final failure ends the request, so refused series are said with its last attempt only.
        again = {one.request_id for one in outcomes if isinstance(one, SearchFailed) and not one.final}
        outcomes += [
            failure
            for task in tasks
            if (failure := refused(task)) is not None and failure.request_id not in again
        ]
        await context.publish([Outgoing(_event(one, causes, context)) for one in outcomes])
        for attempt in causes:
            self._done[attempt] = None
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    async def _count(self, tasks: Sequence[Task], pool: CountingPool) -> Reply:
        dispatched = tasks[0].dispatched
        location = dispatched.location
        try:
            folder = await self._clones.ready(
                dispatched.request.repository_id, location.path, location.clone_url, commits_of(tasks)
            )
        except CloneRefused as error:
            return NotCounted(error.reason, str(error))
        timeout_s = limit_s(tasks, self._policy.timeout_s)
        return await pool.count(
            CountTask(str(folder), location.default_branch, count_request(tasks), timeout_s)
        )


def _event(outcome: SearchCompleted | SearchFailed, causes: dict[Attempt, Event], context: Context) -> Event:
    event_id = completed_id(outcome) if isinstance(outcome, SearchCompleted) else failed_id(outcome)
    cause = causes[outcome.repository_id, outcome.request_id, outcome.attempt]
    event = new_event(
        outcome,
        source=SOURCE,
        time=context.now(),
        event_id=event_id,
        cause=cause,
        correlation_id=outcome.request_id,
    )
    # The request's own event, which bears its id: a dispatch may carry several requests.
    return msgspec.structs.replace(event, causation_id=outcome.request_id)


def _attempt(dispatched: DispatchedRequest) -> Attempt:
    return dispatched.request.repository_id, dispatched.request.request_id, dispatched.attempt


def _cost(works: dict[Attempt, Work]) -> float:
    return sum(work.dispatched.request.cost for work in works.values())
