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

from projections.insights import queries as insights
from projections.reading import Reader
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
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
from streams.insights.scope import Repository
from streams.obligations.names import Owing, renewed
from streams.projected import EndsOfTopics, Wait

SOURCE: Final = "//millstream/planner"
_CHUNK_PAIRS: Final = 5_000
_DEFINITIONS: Final = {"insights": (Topic.INSIGHTS,), "repositories": (Topic.REPOSITORIES,)}
_RESULTS: Final = {"series_points": (Topic.INSIGHTS, Topic.RESULTS)}
_TOPICS: Final = (Topic.INSIGHTS, Topic.REPOSITORIES, Topic.RESULTS)
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
        causes = _causes(batch, Owing.INSIGHT_PLAN)
        if not causes:
            return ()
        wait = await Wait.on_receipt(self._reader, self._log_ends, _TOPICS)
        await wait.passed(_DEFINITIONS)
        definitions, known_repositories = await asyncio.to_thread(self._read_definitions)
        plans = await asyncio.to_thread(
            lambda: [
                Plan(one, scopes_of(one, known_repositories), causes[one.insight_id], None)
                for one in definitions
                if one.insight_id in causes
            ]
        )
        await self._publish(plans, wait, PlanCause.INSIGHT_CREATED, context)
        return ()

    async def repositories_registered(
        self, batch: Sequence[Received], context: Context
    ) -> Sequence[Outgoing]:
        """Plan each new repository, or one whose plans did not come, for all insights whose scope it is in."""
        causes = _causes(batch, Owing.REPOSITORY_PLAN)
        if not causes:
            return ()
        wait = await Wait.on_receipt(self._reader, self._log_ends, _TOPICS)
        await wait.passed(_DEFINITIONS)
        definitions, known_repositories = await asyncio.to_thread(self._read_definitions)
        new = [repository for repository in known_repositories if repository.id in causes]
        plans = await asyncio.to_thread(
            lambda: [
                Plan(definition, scopes, causes[repository_id], repository_id)
                for definition in definitions
                for repository_id, scopes in scopes_by_repository(scopes_of(definition, new)).items()
            ]
        )
        await self._publish(plans, wait, PlanCause.REPOSITORY_REGISTERED, context)
        return ()

    async def _publish(self, plans: Sequence[Plan], wait: Wait, cause: PlanCause, context: Context) -> None:
        if not plans:
            return
        await wait.passed(_RESULTS)
        known = await asyncio.to_thread(self._read_known, plans)
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

    def _read_definitions(self) -> tuple[list[Definition], list[Repository]]:
        with self._reader.snapshot(("insights", "repositories")) as snapshot:
            definitions = insights.definitions_for_planning(snapshot.connection)
            followed = repositories.all_repositories(snapshot.connection) if definitions else []
        return (
            [
                Definition(
                    insight_id=one.insight_id,
                    creator=one.creator,
                    created_at=one.created_at,
                    frames=one.frames,
                    series=one.series,
                )
                for one in definitions
            ],
            [Repository(one.id, one.name, one.fork, one.archived) for one in followed],
        )

    def _read_known(self, plans: Iterable[Plan]) -> Known:
        series_ids = {series.series_id for plan in plans for scope in plan.scopes for series in scope.series}
        new = {plan.repository_id for plan in plans if plan.repository_id is not None}
        with self._reader.snapshot(("series_points",)) as snapshot:
            cells = series_points.known_cells(snapshot.connection, series_ids, new or None)
        return Known(
            covered={pair: found.covered for pair, found in cells.items()},
            planned={pair: found.planned for pair, found in cells.items()},
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
        for request in requests_of(plan.definition, plan.scopes, known.covered)
    ]


def _announcements(
    plans: Iterable[Plan], cause: PlanCause, waited_for: Sequence[str], now: datetime
) -> Iterator[Outgoing]:
    for plan in plans:
        for part in plans_of(plan.definition, plan.scopes, cause, waited_for):
            event_id = plan_id(part, plan.repository_id)
            yield Outgoing(new_event(part, source=SOURCE, time=now, event_id=event_id, cause=plan.cause))
