"""All that can be known of a repository, said of one that is seen and of one that is not."""

from datetime import UTC, datetime

from schemas.events import (
    ActionKind,
    BackfillPlanned,
    BlobPart,
    FiredRun,
    FiringCause,
    Found,
    InsightCreated,
    Lane,
    MonitorAction,
    MonitorCreated,
    ObligationFailed,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRegistered,
    RequestedSeries,
    RunOutcome,
    RunStatus,
    SeriesDefinition,
    SnapshotCount,
    TriggerEvaluated,
    TriggerFired,
    UploadDescription,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, repository_id, series_id
from schemas.registry import Payload
from tests.integration.api.sight import ABSENT, DENIED, MONITOR_ID, SEEN, UPLOADS
from tests.support.projecting import completed, failed, result

INSIGHT, LISTING = 71, 72
MOMENT = "push:0"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
IDS = {name: repository_id(name) for name in (SEEN, DENIED, ABSENT)}
EVERYWHERE = series_id(SeriesIdentity(query="q"))
LISTED = series_id(SeriesIdentity(query="q", repositories=sorted((IDS[SEEN], IDS[DENIED]))))


def line(number: int, series: str, repositories: list[int] | None) -> InsightCreated:
    definition = SeriesDefinition(
        series_id=series, label="l", query="q", unit=TimeUnit.MONTH, value=1, repositories=repositories
    )
    return InsightCreated(
        insight_id=number, title=f"insight {number}", creator="admin", created_at=NOW, series=[definition]
    )


def planned(number: int, series: str, repository: int) -> BackfillPlanned:
    one = PlannedSeries(series_id=series, unit=TimeUnit.MONTH, value=1, first_index=600, end_index=604)
    return BackfillPlanned(
        insight_id=number,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=[one], repositories=[repository])],
        part=1,
        of=1,
    )


def history(name: str) -> list[tuple[Payload, str | None]]:
    """All that can be known of a repository: registered, pushed, planned, asked for, counted, failed, given up."""
    number = IDS[name]
    last = name.rsplit("/", 1)[1]
    said: list[tuple[Payload, str | None]] = [
        (RepositoryRegistered(repository_id=number, name=name, path=f"/srv/{last}"), f"of-{last}"),
        (RepositoryPushed(repository_id=number, default_branch="main", tip="a" * 40), None),
    ]
    for insight, series in ((INSIGHT, EVERYWHERE), (LISTING, LISTED)):
        request = RecordingRequest(
            request_id=f"r-{insight}-{number}",
            repository_id=number,
            insight_id=insight,
            creator="admin",
            lane=Lane.BACKFILL,
            series=[
                RequestedSeries(
                    series_id=series, query="q", unit=TimeUnit.MONTH, value=1, frames=[(600, 604)]
                )
            ],
        )
        counted = completed(
            result(
                {600: 3, 601: 5},
                incomplete={602: (1, "shallow")},
                series_id=series,
                snapshot=SnapshotCount(value=9),
            ),
            repository_id=number,
            insight_id=insight,
            request_id=request.request_id,
            pushed_offset=0,
        )
        lost = completed(
            result({}, covered=[(603, 604)], series_id=series), repository_id=number, insight_id=insight
        )
        said += [
            (planned(insight, series, number), None),
            (RecordingRequested(request=request), None),
            (counted, None),
            (failed(lost), None),
        ]
    said += [(one, None) for one in (*uploaded(name), *found(name))]
    given_up = ObligationFailed(
        obligation="repository.plan",
        aggregate_id=number,
        subject="s",
        attempts=3,
        reason="no-outcome",
        message="m",
    )
    return [*said, (given_up, None)]


def uploaded(name: str) -> list[Payload]:
    """Its commits, and an index that answers at one of them."""
    number, upload = IDS[name], UPLOADS[name]
    blob = BlobPart(uri="u", size_bytes=1, sha256="ab" * 32)
    described = UploadDescription(
        commit="a" * 40, root="", indexer="scip-x", format="scip", uploaded_by="admin", created_at=NOW
    )
    lives = [
        (None, UploadState.QUEUED, described, blob),
        (UploadState.QUEUED, UploadState.PROCESSING, None, None),
        (UploadState.PROCESSING, UploadState.COMPLETED, None, None),
    ]
    return [
        *(
            UploadStateChanged(
                upload_id=upload,
                repository_id=number,
                from_state=before,
                to_state=after,
                reason="r",
                upload=description,
                blob=kept,
            )
            for before, after, description, kept in lives
        ),
        UploadPublished(
            upload_id=upload, repository_id=number, commit="a" * 40, root="", indexer="scip-x", replaces=[]
        ),
    ]


def found(name: str) -> list[Payload]:
    """A run of ann's monitor that found something there."""
    outcome = RunOutcome(
        monitor_id=MONITOR_ID,
        begun=0,
        status=RunStatus.COMPLETED,
        tips=["b" * 40],
        query="type:diff q",
        results=[Found(commit="ab" * 20, paths=["p"], ranges=[(1, 2)])],
        result_count=1,
        match_count=1,
        deliveries=[],
    )
    number = IDS[name]
    return [
        TriggerFired(
            repository_id=number,
            moment=MOMENT,
            cause=FiringCause.PUSH,
            pushed_offset=0,
            runs=[FiredRun(monitor_id=MONITOR_ID, begun=0, base=["c" * 40])],
        ),
        TriggerEvaluated(repository_id=number, moment=MOMENT, pushed_offset=0, outcomes=[outcome]),
    ]


def monitor() -> MonitorCreated:
    action = MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=["ann"])
    return MonitorCreated(
        monitor_id=MONITOR_ID,
        description="d",
        owner="ann",
        created_at=NOW,
        enabled=True,
        query="type:diff q",
        actions=[action],
    )
