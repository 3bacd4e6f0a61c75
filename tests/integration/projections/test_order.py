"""Order is promised inside a partition only: whatever way topics are interleaved and cut, the rows are the same."""

import random
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Engine

from projections.catalogue import INSIGHTS, RECORDINGS, REPOSITORIES, SERIES_POINTS
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Projection
from projections.reading import Reader
from projections.recordings import queries as recordings
from schemas.events import (
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillPlanned,
    BackfillResumed,
    DispatchedRequest,
    InsightCreated,
    InsightDeleted,
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
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
    RequestedSeries,
    SeriesDefinition,
    SnapshotCount,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from schemas.topics import Topic
from tests.support.projecting import (
    OTHER_SERIES,
    SERIES,
    T0,
    Tables,
    completed,
    event,
    failed,
    fold_into,
    folding,
    result,
    tables_of,
)

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
Streams = dict[tuple[str, int], list[Folding]]


def _stream(topic: Topic, partition: int, payloads: list[Payload]) -> list[Folding]:
    return [
        folding(
            event(payload, at=n, event_id=f"{topic}-{partition}-{n}"), n, topic=topic, partition=partition
        )
        for n, payload in enumerate(payloads)
    ]


def _request(request_id: str, repository: int) -> RecordingRequest:
    series = RequestedSeries(series_id=SERIES, query="q", unit=TimeUnit.MONTH, value=1, frames=[(600, 603)])
    return RecordingRequest(
        request_id=request_id,
        repository_id=repository,
        insight_id=7,
        creator="someone",
        lane=Lane.BACKFILL,
        series=[series],
    )


def _of_repository(repository: int) -> dict[Topic, list[Payload]]:
    names = [f"r{repository}-{n}" for n in range(4)]
    outcomes = [
        completed(
            result({600 + n: n}, snapshot=SnapshotCount(value=n)),
            repository_id=repository,
            request_id=name,
            attempt=1 + n % 3,
            pushed_offset=n // 2,
        )
        for n, name in enumerate(names)
    ]
    return {
        Topic.REPOSITORIES: [
            RepositoryRegistered(repository_id=repository, name=f"local/{repository}", path="/p"),
            RepositoryCloneFailed(repository_id=repository, reason="gone", message="no such folder"),
            RepositoryPushed(repository_id=repository, default_branch="main", tip="a" * 40),
            RepositoryUpdated(repository_id=repository, archived=True),
            RepositoryRenamed(repository_id=repository, name=f"local/renamed-{repository}"),
            RepositoryRegistered(repository_id=repository, name=f"local/renamed-{repository}", path="/q"),
            *([RepositoryRemoved(repository_id=repository)] if repository % 2 else []),
        ],
        Topic.RECORDINGS: [
            *(RecordingRequested(request=_request(name, repository)) for name in names * 2),
            ObligationRenewed(
                obligation="recording.count", aggregate_id=repository, subject=names[1], attempt=2
            ),
            ObligationFailed(
                obligation="recording.count",
                aggregate_id=repository,
                subject=names[2],
                attempts=3,
                reason="overdue",
                message="nothing came",
            ),
        ],
        Topic.WORK_BACKGROUND: [
            RecordingDispatched(
                requests=[DispatchedRequest(request=_request(name, repository), attempt=attempt)], deadline=T0
            )
            for name in names
            for attempt in (1, 2)
        ],
        Topic.RESULTS: [
            failed(outcomes[0], "crashed", final=False),
            outcomes[0],
            failed(outcomes[1], "timeout"),
            *outcomes[2:],
            outcomes[0],
        ],
    }


def _insights() -> list[Payload]:
    definitions = [
        SeriesDefinition(series_id=one, label=f"l{n}", query=f"q{n}", unit=TimeUnit.MONTH, value=1)
        for n, one in enumerate((SERIES, OTHER_SERIES))
    ]
    plan = PlannedSeries(series_id=SERIES, unit=TimeUnit.MONTH, value=1, first_index=600, end_index=603)
    planned = BackfillPlanned(
        insight_id=7,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=[plan], repositories=[1, 2, 3])],
        part=1,
        of=1,
    )
    created = InsightCreated(insight_id=7, title="t", creator="c", created_at=T0, series=definitions)
    decided = [
        BackfillPaused(insight_id=7),
        BackfillMoved(insight_id=7, to=QueueEnd.FRONT),
        BackfillCancelled(insight_id=7),
        BackfillMoved(insight_id=7, to=QueueEnd.BACK),
        BackfillResumed(insight_id=7),
        InsightDeleted(insight_id=8),
    ]
    return [created, planned, created, planned, *decided]


def _streams(projection: Projection) -> Streams:
    found: Streams = {}
    for repository in (1, 2, 3):
        for topic, payloads in _of_repository(repository).items():
            if topic in projection.topics:
                found[topic, repository] = _stream(topic, repository, payloads)
    if Topic.INSIGHTS in projection.topics:
        found[Topic.INSIGHTS, 0] = _stream(Topic.INSIGHTS, 0, _insights())
    return found


def _interleaved(streams: Streams, random_: random.Random) -> list[Folding]:
    left = {place: list(events) for place, events in streams.items()}
    order: list[Folding] = []
    while left:
        place = random_.choice(sorted(left))
        order.append(left[place].pop(0))
        if not left[place]:
            del left[place]
    return order


def _fold(place: Place, projection: Projection, order: list[Folding], size: int) -> Tables:
    connection, generation = place(projection)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    fold_into(connection, projection, batches)
    return tables_of(connection, projection, generation.schema_name)


@pytest.mark.parametrize(
    "projection", [REPOSITORIES, INSIGHTS, RECORDINGS, SERIES_POINTS], ids=lambda one: one.name
)
def test_no_interleaving_and_no_cut_can_be_seen(place: Place, projection: Projection) -> None:
    random_ = random.Random(5)
    streams = _streams(projection)
    expected = _fold(place, projection, _interleaved(streams, random_), 1)
    assert all(len(rows) > 0 for name, rows in expected.items() if "incomplete" not in name)
    for size in (1, 2, 3, 5, 8, 100):
        for _ in range(3):
            assert _fold(place, projection, _interleaved(streams, random_), size) == expected, size


def test_the_state_of_a_job_is_that_of_its_newest_outcome(place: Place) -> None:
    connection, _ = place(RECORDINGS)
    streams = _streams(RECORDINGS)
    fold_into(connection, RECORDINGS, [_interleaved(streams, random.Random(1))])
    rows = connection.execute(
        "select request_id, state, completed_attempt, failed_attempt, failed_reason, dispatched_attempt"
        " from insights_query_runner_jobs where repository_id = 1 order by request_id"
    ).fetchall()
    assert rows == [
        ("r1-0", "completed", 1, 1, "crashed", 2),
        ("r1-1", "failed", None, 2, "timeout", 2),
        ("r1-2", "completed", 3, None, None, 2),
        ("r1-3", "completed", 1, None, None, 2),
    ]


def test_one_request_id_in_two_repositories_is_two_jobs(place: Place, app: Engine) -> None:
    connection, _ = place(RECORDINGS)
    said: list[tuple[Payload, int]] = [
        (RecordingRequested(request=_request("same", 1)), 1),
        (RecordingRequested(request=_request("same", 2)), 2),
        (completed(result({600: 1}), repository_id=1, request_id="same"), 1),
    ]
    events = [
        folding(event(payload, at=offset), offset, partition=partition)
        for offset, (payload, partition) in enumerate(said)
    ]
    for order in (events, events[::-1]):
        connection.execute("truncate insights_query_runner_jobs")
        fold_into(connection, RECORDINGS, [order])
        rows = connection.execute(
            "select repository_id, request_id, state from insights_query_runner_jobs order by 1"
        ).fetchall()
        assert rows == [(1, "same", "completed"), (2, "same", "queued")]
    reader = Reader(app)
    with reader.snapshot(("recordings",)) as snapshot:
        read = snapshot.connection
        waiting = recordings.groups(read, Lane.BACKFILL)
        found = recordings.candidates(read, Lane.BACKFILL, waiting, 10, [(1, "same")])
        assert [one.request.repository_id for one in found] == [2]
        assert recordings.candidates(read, Lane.BACKFILL, waiting, 10, [(2, "same")]) == []
        assert recordings.exists(read, [(1, "same"), (3, "same")]) == {(1, "same")}
        shown = recordings.attempts(read, [(1, "same"), (2, "same"), (3, "same")])
        assert {key: one.state for key, one in shown.items()} == {
            (1, "same"): "completed",
            (2, "same"): "queued",
        }
        excluded = [(number, f"never-{number}") for number in range(70_000)]
        assert len(recordings.candidates(read, Lane.BACKFILL, waiting, 10, excluded)) == 1
    reader.close()
