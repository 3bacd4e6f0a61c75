"""The dispatcher over real projections, without a broker: what it picks, and what a pick costs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as sql_events

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.events import Lane, RecordingRequested, RepositoryPushed, RepositoryRemoved, SearchFailed
from schemas.grid import TimeUnit
from tests.support.office import dispatched, dispatcher_of, make_projections, project
from tests.support.projecting import settings_for
from tests.unit.streams.events import RecordingContext, created, definition, registered, request, requested

MANY = 3_000
GROUPS = 600


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[Engine]:
    make_projections(settings)
    engine = make_engine(settings, Role.WORKER, pool_size=2)
    yield engine
    engine.dispose()


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The reads of the jobs table, as they come."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "insights_query_runner_jobs" in statement and "order by" in statement.lower():
            found.append(statement)

    sql_events.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sql_events.remove(engine, "before_cursor_execute", note)


def test_repositories_that_are_still_cloned_cost_a_handful_of_reads_once(
    settings: Settings, worker: Engine
) -> None:
    waiting = range(1, MANY + 1)
    project(settings, "insights", created(7, [definition()]))
    project(settings, "repositories", *(registered(number) for number in range(1, MANY + 3)))
    ready = [
        RepositoryPushed(repository_id=number, default_branch="main", tip="c" * 40)
        for number in (MANY + 1, MANY + 2)
    ]
    project(settings, "repositories", *(registered(one.repository_id) for one in ready), *ready)
    project(settings, "recordings", *(RecordingRequested(request=request(number)) for number in waiting))
    project(
        settings,
        "recordings",
        RecordingRequested(request=request(MANY + 1)),
        RecordingRequested(request=request(MANY + 2, lane=Lane.INTERACTIVE)),
    )
    reader, context = Reader(worker), RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    try:
        with statements(worker) as first:
            asyncio.run(dispatcher.tick())
        assert sorted(dispatched(context)) == [MANY + 1, MANY + 2], "both lanes have what is ready"
        assert len(first) <= 25, "pages grow: far fewer than repositories that wait"
        dispatcher.look_again()
        with statements(worker) as second:
            asyncio.run(dispatcher.tick())
        assert 0 < len(second) <= 6, "what waits is passed over in one read for each lane"
        project(
            settings,
            "repositories",
            registered(5),
            RepositoryPushed(repository_id=5, default_branch="main", tip="c" * 40),
        )
        dispatcher.look_again()
        asyncio.run(dispatcher.tick())
        assert sorted(dispatched(context)) == [5, MANY + 1, MANY + 2], "a clone that became ready is seen"
    finally:
        reader.close()


def test_a_request_that_contradicts_its_series_is_refused(settings: Settings, worker: Engine) -> None:
    mine, other = MANY + 11, MANY + 12
    project(settings, "insights", created(7, [definition()]))
    project(
        settings,
        "repositories",
        *(registered(number) for number in (mine, other)),
        *(
            RepositoryPushed(repository_id=number, default_branch="main", tip="c" * 40)
            for number in (mine, other)
        ),
    )
    daily = msgspec.structs.replace(requested(frames=[(20_000, 20_001)]), unit=TimeUnit.DAY)
    project(
        settings,
        "recordings",
        RecordingRequested(request=request(mine, lane=Lane.SCHEDULED)),
        RecordingRequested(request=request(other, lane=Lane.SCHEDULED, series=[daily])),
    )
    reader, context = Reader(worker), RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    try:
        asyncio.run(dispatcher.tick())
    finally:
        reader.close()
    [failure] = [said.data for said in context.events if isinstance(said.data, SearchFailed)]
    assert (failure.repository_id, failure.reason, failure.final) == (other, "not-the-series", True)
    assert failure.series == [], "the cells that the series really has stay open"
    assert mine in dispatched(context)
    assert other not in dispatched(context)


def test_removed_repositories_cost_a_handful_of_reads_once(settings: Settings, worker: Engine) -> None:
    first = 2 * MANY
    gone, here = range(first, first + MANY), first + MANY
    project(settings, "insights", created(7, [definition()]))
    project(
        settings,
        "repositories",
        *(registered(number) for number in (*gone, here)),
        *(
            RepositoryPushed(repository_id=number, default_branch="main", tip="c" * 40)
            for number in (*gone, here)
        ),
    )
    project(settings, "repositories", *(RepositoryRemoved(repository_id=number) for number in gone))
    lane = Lane.INTERACTIVE
    project(
        settings,
        "recordings",
        *(RecordingRequested(request=request(number, lane=lane)) for number in gone),
        *(RecordingRequested(request=request(number, number, lane=lane)) for number in gone[:GROUPS]),
    )
    project(settings, "recordings", RecordingRequested(request=request(here, lane=lane)))
    reader, context = Reader(worker), RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    try:
        with statements(worker) as found:
            asyncio.run(dispatcher.tick())
        assert here in dispatched(context), "what waits behind thousands of them is not starved"
        assert not set(gone) & set(dispatched(context))
        assert len(found) <= 45
        for _ in range(3):
            dispatcher.look_again()
            with statements(worker) as later:
                asyncio.run(dispatcher.tick())
            assert 0 < len(later) <= 20, (
                "they stay out of the pages, and their groups are passed many at once"
            )
        project(settings, "repositories", registered(gone[-1]))
        dispatcher.look_again()
        asyncio.run(dispatcher.tick())
        assert set(gone) & set(dispatched(context)) == {gone[-1]}
    finally:
        reader.close()
