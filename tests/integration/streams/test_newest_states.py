"""A newest state is dispatched as the projections know it, whoever asked for it: a forged one would stay for ever."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import Engine

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.events import (
    BackfillPlanned,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingDispatched,
    RecordingRequest,
    RecordingRequested,
    RepositoryCloneFailed,
    RepositoryPushed,
    SearchFailed,
    SnapshotCount,
    SnapshotTarget,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from streams.known_bases import known_bases
from tests.support.office import dispatcher_of, make_projections, project
from tests.support.projecting import completed, result, settings_for
from tests.unit.streams.events import RecordingContext, created, definition, registered, request, requested

SERIES = definition("TODO", unit=TimeUnit.MONTH)
TIP, OLD, LIMITS = "c" * 40, "b" * 40, "0" * 15 + "1"
PUSHED = range(1, 7)
NEVER_PUSHED = 7
OFFSETS = {number: len(PUSHED) + number for number in PUSHED}
"""Of the pushes: the registrations, NEVER_PUSHED's too, stand before them."""


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[Engine]:
    make_projections(settings)
    engine = make_engine(settings, Role.WORKER, pool_size=2)
    yield engine
    engine.dispose()


def asked(repository_id: int, target: SnapshotTarget, base_value: int | None = None) -> RecordingRequest:
    series = [requested(frames=[], snapshot=True, base_value=base_value)]
    return request(repository_id, series=series, snapshot=target)


def test_only_what_is_known_is_a_base_and_only_what_was_pushed_is_counted(
    settings: Settings, worker: Engine
) -> None:
    pushes: list[Payload] = [registered(number) for number in (*PUSHED, NEVER_PUSHED)]
    pushes += [RepositoryPushed(repository_id=number, default_branch="main", tip=TIP) for number in PUSHED]
    pushes.append(RepositoryCloneFailed(repository_id=NEVER_PUSHED, reason="gone", message="no such place"))
    project(settings, "repositories", *pushes)
    project(settings, "insights", created(7, [SERIES]))
    line = PlannedSeries(
        series_id=SERIES.series_id, unit=TimeUnit.MONTH, value=1, first_index=671, end_index=683
    )
    scope = PlannedScope(series=[line], repositories=[*PUSHED])
    counted = [
        completed(
            result({}, series_id=SERIES.series_id, snapshot=SnapshotCount(value=5)),
            repository_id=number,
            request_id=f"r-{number}",
            pushed_offset=3,
            tip=OLD,
            limits=LIMITS,
        )
        for number in (1, 2)
    ]
    project(
        settings,
        "series_points",
        BackfillPlanned(insight_id=7, cause=PlanCause.INSIGHT_CREATED, scopes=[scope], part=1, of=1),
        *counted,
    )
    ours = SnapshotTarget(commit=TIP, pushed_offset=OFFSETS[1], base_commit=OLD, base_limits=LIMITS)
    honest = asked(1, ours, 5)
    lies = {
        number: asked(
            number,
            SnapshotTarget(commit=TIP, pushed_offset=OFFSETS[number], base_commit=TIP, base_limits=LIMITS),
            10**12,
        )
        for number in (2, 3)
    }
    older = asked(4, SnapshotTarget(commit=OLD, pushed_offset=OFFSETS[4] - 1))
    false = [
        asked(5, SnapshotTarget(commit=TIP, pushed_offset=1 << 52)),
        asked(6, SnapshotTarget(commit=OLD, pushed_offset=OFFSETS[6])),
        asked(NEVER_PUSHED, SnapshotTarget(commit=TIP, pushed_offset=0)),
    ]
    everything = [honest, *lies.values(), older, *false]
    project(settings, "recordings", *(RecordingRequested(request=one) for one in everything))
    reader, context = Reader(worker), RecordingContext()
    try:
        asyncio.run(dispatcher_of(reader, worker, context).tick())
        with reader.snapshot(("series_points",)) as snapshot:
            known = known_bases(snapshot.connection, [SERIES.series_id], [*PUSHED])
    finally:
        reader.close()
    assert {(pair[1], one.value, one.limits) for pair, one in known.items()} == {
        (1, 5, LIMITS),
        (2, 5, LIMITS),
    }
    sent = {
        one.request.repository_id: one.request
        for said in context.events
        if isinstance(said.data, RecordingDispatched)
        for one in said.data.requests
    }
    assert sent == {
        1: honest,
        2: asked(2, msgspec.structs.replace(ours, pushed_offset=OFFSETS[2]), 5),
        3: asked(3, SnapshotTarget(commit=TIP, pushed_offset=OFFSETS[3])),
        4: older,
    }
    failures = [said.data for said in context.events if isinstance(said.data, SearchFailed)]
    assert {one.repository_id for one in failures} == {one.repository_id for one in false}
    assert {(one.reason, one.final) for one in failures} == {("not-a-push", True)}
    assert all(one.series == [] for one in failures), "nobody's cells fail by what somebody else says"
