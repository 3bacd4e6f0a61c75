"""A log for every projection: results, and around each of them what the product says on all the other topics."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bench.result_events import FIRST_INDEX, SOURCE, Load, events_of
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    BackfillMoved,
    BackfillPlanned,
    DispatchedRequest,
    InsightCreated,
    Lane,
    ObligationFailed,
    ObligationRenewed,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    QueueEnd,
    RecordingDispatched,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryUpdated,
    RequestedSeries,
    SearchCompleted,
    SeriesDefinition,
    SettingsChanged,
)
from schemas.grid import TimeUnit
from schemas.operations.events import RebuildOrdered
from schemas.registry import Payload
from schemas.settings.known import RATE_LIMIT
from schemas.topics import Topic

POINTS: Final = 12
_AT: Final = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
_CREATOR: Final = "bench"
Said = tuple[Topic, Event]
"""An event, and the topic that it is published on."""


def log_of(results: int, partitions: int) -> Iterator[Said]:
    """``results`` results of twelve points, each asked for and dispatched before; of every 4, 8 and 16 something else is said.

    A share of the log holds the same share of everything but of first sights: of repositories and of insights.
    """
    repositories: set[int] = set()
    insights: set[int] = set()
    load = Load(name="whole", events=results, points=POINTS, partitions=partitions)
    for number, event in enumerate(events_of(load, partitions)):
        result = event.data
        if not isinstance(result, SearchCompleted):
            raise TypeError("a load of results holds results")
        if result.insight_id not in insights:
            insights.add(result.insight_id)
            yield from _insight(result, number)
        if result.repository_id not in repositories:
            repositories.add(result.repository_id)
            yield _said(Topic.REPOSITORIES, _registered(result.repository_id), number)
        yield from _asked(result, number)
        yield Topic.RESULTS, event
        yield from _besides(result, number)


def _insight(result: SearchCompleted, number: int) -> Iterator[Said]:
    (series,) = result.series
    definition = SeriesDefinition(
        series_id=series.series_id,
        label="bench",
        query=_query(result),
        unit=TimeUnit.MONTH,
        value=1,
    )
    created = InsightCreated(
        insight_id=result.insight_id,
        title=_query(result),
        creator=_CREATOR,
        created_at=_AT,
        series=[definition],
    )
    yield _said(Topic.INSIGHTS, created, number)


def _asked(result: SearchCompleted, number: int) -> Iterator[Said]:
    (series,) = result.series
    request = RecordingRequest(
        request_id=result.request_id,
        repository_id=result.repository_id,
        insight_id=result.insight_id,
        creator=_CREATOR,
        lane=Lane.BACKFILL,
        series=[
            RequestedSeries(
                series_id=series.series_id,
                query=_query(result),
                unit=TimeUnit.MONTH,
                value=1,
                frames=list(series.covered),
            )
        ],
    )
    yield _said(Topic.RECORDINGS, RecordingRequested(request=request), number, event_id=result.request_id)
    dispatched = RecordingDispatched(
        requests=[DispatchedRequest(request=request, attempt=1)], deadline=_AT + timedelta(days=1)
    )
    yield _said(Topic.WORK_BACKGROUND, dispatched, number)


def _besides(result: SearchCompleted, number: int) -> Iterator[Said]:
    repository, insight = result.repository_id, result.insight_id
    if number % 4 == 0:
        pushed = RepositoryPushed(
            repository_id=repository,
            default_branch="main",
            tip=f"{number:040x}",
            refs_fingerprint=str(number),
        )
        yield _said(Topic.REPOSITORIES, pushed, number)
    if number % 8 == 0:
        updated = RepositoryUpdated(repository_id=repository, fork=number % 16 == 0)
        yield _said(Topic.REPOSITORIES, updated, number)
        (series,) = result.series
        planned = PlannedSeries(
            series_id=series.series_id,
            unit=TimeUnit.MONTH,
            value=1,
            first_index=FIRST_INDEX,
            end_index=FIRST_INDEX + POINTS,
        )
        plan = BackfillPlanned(
            insight_id=insight,
            cause=PlanCause.REPOSITORY_REGISTERED,
            scopes=[PlannedScope(series=[planned], repositories=[repository])],
            part=1,
            of=1,
        )
        yield _said(Topic.INSIGHTS, plan, number)
    if number % 16 == 0:
        subject, plan_of = f"push-{number}", "repository.plan"
        renewed = ObligationRenewed(obligation=plan_of, aggregate_id=repository, subject=subject, attempt=2)
        failed = ObligationFailed(
            obligation=plan_of,
            aggregate_id=repository,
            subject=subject,
            attempts=5,
            reason="overdue",
            message="nothing came",
        )
        yield _said(Topic.REPOSITORIES, renewed, number)
        yield _said(Topic.REPOSITORIES, failed, number)
        yield _said(Topic.INSIGHTS, BackfillMoved(insight_id=insight, to=QueueEnd.BACK), number)
        changed = SettingsChanged(key=RATE_LIMIT, value=1 + number % 100, changed_by=_CREATOR)
        yield _said(Topic.SETTINGS, changed, number)
        ordered = RebuildOrdered(projection="settings", generation=number % 1_000, ordered_by=_CREATOR)
        yield _said(Topic.OPERATIONS, ordered, number)


def _registered(repository: int) -> RepositoryRegistered:
    return RepositoryRegistered(
        repository_id=repository, name=f"bench.example/{repository}", path=f"/srv/{repository}"
    )


def _query(result: SearchCompleted) -> str:
    return f"bench {result.insight_id - 1}"


def _said(topic: Topic, payload: Payload, number: int, *, event_id: str | None = None) -> Said:
    at = _AT + timedelta(milliseconds=number)
    return topic, new_event(payload, source=SOURCE, time=at, event_id=event_id)
