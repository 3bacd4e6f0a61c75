"""Which pushes the recorder still owes a count for, read from real projections."""

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Engine

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.reading import Reader
from schemas.events import (
    BackfillPlanned,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
    SnapshotCount,
    SnapshotTarget,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from streams.insights.due import owned_series, snapshot_request_id, snapshot_requests
from streams.insights.plan import Definition
from streams.obligations.unseen import newest_pushes, unseen_pushes
from tests.support.office import project
from tests.support.projecting import completed, result, settings_for
from tests.unit.streams.events import NOW, created, definition, registered, request, requested

SERIES = definition("TODO", unit=TimeUnit.MONTH)
TIP = "c" * 40
NAMES = ("insights", "repositories", "recordings", "series_points")


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[Engine]:
    projector = make_engine(settings, Role.PROJECTOR, pool_size=1)
    for name in NAMES:
        ensure_generation(projector, projection(name))
    projector.dispose()
    engine = make_engine(settings, Role.WORKER, pool_size=2)
    yield engine
    engine.dispose()


def planned(repository_ids: Sequence[int]) -> BackfillPlanned:
    line = PlannedSeries(
        series_id=SERIES.series_id, unit=TimeUnit.MONTH, value=1, first_index=671, end_index=683
    )
    scope = PlannedScope(series=[line], repositories=list(repository_ids))
    return BackfillPlanned(insight_id=7, cause=PlanCause.INSIGHT_CREATED, scopes=[scope], part=1, of=1)


def asked(repository_id: int, pushed_offset: int) -> RecordingRequested:
    """As the planner asks: the newest state beside the frames."""
    target = SnapshotTarget(commit=TIP, pushed_offset=pushed_offset)
    return RecordingRequested(
        request=request(repository_id, series=[requested(snapshot=True)], snapshot=target)
    )


def told(repository_id: int, pushed_offset: int) -> RecordingRequest:
    """As the recorder asks."""
    owned = owned_series(
        [Definition(insight_id=7, creator="me", created_at=NOW, frames=12, series=(SERIES,))]
    )
    target = SnapshotTarget(commit=TIP, pushed_offset=pushed_offset)
    (found,) = snapshot_requests(repository_id, target, list(owned.values()), {}, 1)
    return found


def test_a_push_is_owed_until_somebody_asked_for_its_state(settings: Settings, worker: Engine) -> None:
    # 1: not planned; 2: nobody asked; 3: asked within the backfill; 4: counted, but an older push; 5: the same, and asked
    # by the recorder; 6: counted; 7: asked within the backfill, for an older push; 8: not cloned yet
    ids = range(1, 9)
    pushes: list[Payload] = [registered(number) for number in ids]
    pushes += [
        RepositoryPushed(repository_id=number, default_branch="main", tip=TIP) for number in range(1, 8)
    ]
    offsets = {number: len(ids) + number - 1 for number in range(1, 8)}
    project(settings, "repositories", *pushes)
    project(settings, "insights", created(7, [SERIES]))
    counted = [
        completed(
            result({671: 1}, series_id=SERIES.series_id, snapshot=SnapshotCount(value=1)),
            repository_id=number,
            request_id=f"r-{number}",
            pushed_offset=offset,
        )
        for number, offset in ((4, 2), (5, 2), (6, offsets[6]))
    ]
    project(settings, "series_points", planned(range(2, 9)), *counted)
    project(
        settings,
        "recordings",
        asked(3, offsets[3]),
        RecordingRequested(request=told(5, offsets[5])),
        asked(7, 2),
    )
    assert told(5, offsets[5]).request_id == snapshot_request_id(5, offsets[5])
    reader = Reader(worker)
    try:
        with reader.snapshot(NAMES) as snapshot:
            owed = newest_pushes(snapshot.connection)
            unmet = unseen_pushes(snapshot.connection, owed)
    finally:
        reader.close()
    assert {(one.aggregate_id, int(one.subject), one.opened.offset) for one in owed} == {
        (number, offset, offset) for number, offset in offsets.items()
    }
    assert {key[0] for key in unmet} == {2, 4, 7}
