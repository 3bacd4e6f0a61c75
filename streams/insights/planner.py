"""The planner: fixes the scope of a backfill and asks for what has to be counted (DESIGN sections 6 and 7).

It acts on a new insight and on a new repository, in the same way and with the same ids. Requests go on the log
before the plan that announces them: a plan that is visible means that all of it was asked for.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog

from projections.reading import Reader
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    InsightCreated,
    ObligationRenewed,
    PlanCause,
    RecordingRequested,
    RepositoryRegistered,
)
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.insights.knowledge import DEFINITIONS, RESULTS, TOPICS, Defined, Knowledge
from streams.insights.plan import (
    Definition,
    Known,
    Scope,
    is_announced,
    plan_id,
    plans_of,
    requests_of,
    scopes_by_repository,
    scopes_of,
)
from streams.obligations.names import Owing, renewed
from streams.projected import EndsOfTopics, Wait

SOURCE: Final = "//millstream/planner"
_CHUNK_PAIRS: Final = 5_000
_log = structlog.get_logger()


class Plan(msgspec.Struct, frozen=True):
    """One insight's scopes over the repositories at hand, and the event that caused it."""

    definition: Definition
    scopes: Sequence[Scope]
    cause: Event
    repository_id: int | None


class Planner:
    """Reads definitions and repositories, publishes requests and plans."""

    def __init__(self, reader: Reader, log_ends: EndsOfTopics) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._knowledge = Knowledge(reader)

    @property
    def specs(self) -> tuple[AgentSpec, ...]:
        return (
            AgentSpec(
                name="planner.insights",
                topics=(Topic.INSIGHTS,),
                types=(InsightCreated, ObligationRenewed),
                handler=self.insights_created,
                max_batch=50,
                within_s=0.02,
            ),
            AgentSpec(
                name="planner.repositories",
                topics=(Topic.REPOSITORIES,),
                types=(RepositoryRegistered, ObligationRenewed),
                handler=self.repositories_registered,
            ),
        )

    async def insights_created(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Plan each new insight, or one whose plan did not come, over all repositories there are."""
        if not _causes(batch, Owing.INSIGHT_PLAN):
            return ()
        wait, causes = await self._judged(batch, Owing.INSIGHT_PLAN)
        defined = await asyncio.to_thread(self._knowledge.defined)
        plans = await asyncio.to_thread(
            lambda: [
                Plan(one, scopes_of(one, defined.repositories), causes[one.insight_id], None)
                for one in defined.definitions
                if one.insight_id in causes
            ]
        )
        await self._publish(plans, defined, wait, PlanCause.INSIGHT_CREATED, context)
        return ()

    async def repositories_registered(
        self, batch: Sequence[Received], context: Context
    ) -> Sequence[Outgoing]:
        """Plan each new repository, or one whose plans did not come, for all insights whose scope it is in."""
        if not _causes(batch, Owing.REPOSITORY_PLAN):
            return ()
        wait, causes = await self._judged(batch, Owing.REPOSITORY_PLAN)
        defined = await asyncio.to_thread(self._knowledge.defined, causes)
        plans = await asyncio.to_thread(
            lambda: [
                Plan(definition, scopes, causes[repository_id], repository_id)
                for definition in defined.definitions
                for repository_id, scopes in scopes_by_repository(
                    scopes_of(definition, defined.repositories)
                ).items()
            ]
        )
        await self._publish(plans, defined, wait, PlanCause.REPOSITORY_REGISTERED, context)
        return ()

    async def _judged(self, batch: Sequence[Received], owing: Owing) -> tuple[Wait, dict[int, Event]]:
        """What was waited for, and the accepted events of ``batch`` by aggregate."""
        wait = await Wait.on_receipt(self._reader, self._log_ends, TOPICS)
        await wait.passed(DEFINITIONS)
        return wait, _causes(await asyncio.to_thread(self._knowledge.accepted, batch), owing)

    async def _publish(
        self, plans: Sequence[Plan], defined: Defined, wait: Wait, cause: PlanCause, context: Context
    ) -> None:
        if not plans:
            return
        await wait.passed(RESULTS)
        series_ids = {series.series_id for plan in plans for scope in plan.scopes for series in scope.series}
        only = {plan.repository_id for plan in plans if plan.repository_id is not None}
        known = await asyncio.to_thread(self._knowledge.known, series_ids, only or None, defined.targets)
        new = [
            plan
            for plan in plans
            if plan.repository_id is None or not is_announced(plan.definition, plan.scopes, known.planned)
        ]
        for together in _chunks(new):
            asked = await asyncio.to_thread(_requests, together, known, context.now())
            await context.publish(asked)
            announced = list(_announcements(together, cause, wait.vector, context.now()))
            await context.publish(announced)
            _log.info(
                "planned",
                cause=cause.value,
                insights=len({plan.definition.insight_id for plan in together}),
                requests=len(asked),
                plans=len(announced),
            )


def _causes(batch: Sequence[Received], owing: Owing) -> dict[int, Event]:
    """The first event of each aggregate that asks for its plan: it came, or the obligation was renewed."""
    causes: dict[int, Event] = {}
    for received in reversed(batch):
        match received.event.data:
            case InsightCreated(insight_id=aggregate_id) | RepositoryRegistered(repository_id=aggregate_id):
                causes[aggregate_id] = received.event
            case _:
                again = renewed(received.event, owing)
                if again is not None:
                    causes[again.aggregate_id] = received.event
    return causes


def _chunks(plans: Sequence[Plan]) -> Iterator[list[Plan]]:
    """Plans whose events are published together: records are few round trips, and memory stays bounded."""
    chunk: list[Plan] = []
    pairs = 0
    for plan in plans:
        chunk.append(plan)
        pairs += sum(len(scope.repositories) for scope in plan.scopes)
        if pairs >= _CHUNK_PAIRS:
            yield chunk
            chunk, pairs = [], 0
    if chunk:
        yield chunk


def _requests(plans: Iterable[Plan], known: Known, now: datetime) -> list[Outgoing]:
    return [
        Outgoing(
            new_event(
                RecordingRequested(request=request),
                source=SOURCE,
                time=now,
                event_id=request.request_id,
                cause=plan.cause,
            )
        )
        for plan in plans
        for request in requests_of(plan.definition, plan.scopes, known.covered, known.newest)
    ]


def _announcements(
    plans: Iterable[Plan], cause: PlanCause, waited_for: Sequence[str], now: datetime
) -> Iterator[Outgoing]:
    for plan in plans:
        for part in plans_of(plan.definition, plan.scopes, cause, waited_for):
            event_id = plan_id(part, plan.repository_id)
            yield Outgoing(new_event(part, source=SOURCE, time=now, event_id=event_id, cause=plan.cause))
