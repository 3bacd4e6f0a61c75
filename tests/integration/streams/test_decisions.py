"""What people decide, what settings allow and what obligations say, as the dispatcher obeys it. Without a broker."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from projections.recordings import queries as recordings
from schemas.events import (
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    DispatchedRequest,
    InsightDeleted,
    Lane,
    ObligationFailed,
    ObligationRenewed,
    QueueEnd,
    RecordingDispatched,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRemoved,
    SearchFailed,
    SeriesKind,
    SettingsChanged,
)
from schemas.registry import Payload
from schemas.settings import known
from schemas.topics import Topic
from streams.projected import Vector
from streams.recordings.dispatcher import Dispatcher
from streams.recordings.token_bucket import Rate, TokenBucket
from streams.transient import is_transient
from tests.support.office import dispatcher_of, make_projections, project
from tests.support.projecting import settings_for
from tests.unit.streams.events import (
    RecordingContext,
    carried,
    created,
    definition,
    dispatched,
    registered,
    request,
    requested,
)

HERE = 20
"""Repositories that are ready."""


@pytest.fixture
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture
def worker(settings: Settings) -> Iterator[Engine]:
    make_projections(settings)
    engine = make_engine(settings, Role.WORKER, pool_size=4)
    yield engine
    with make_engine(settings, Role.PROJECTOR, pool_size=1).begin() as connection:
        names = list(connection.scalars(text("select schema_name from runtime.generations")))
        for name in names:
            tables = connection.scalars(
                text("select tablename from pg_tables where schemaname = :name"), {"name": name}
            )
            for table in list(tables):
                if table not in ("generation", "checkpoints"):
                    connection.execute(text(f'truncate "{name}"."{table}"'))
        connection.execute(text("delete from runtime.token_buckets"))
    engine.dispose()


@pytest.fixture
def reader(worker: Engine, settings: Settings) -> Iterator[Reader]:
    project(settings, "insights", *(created(number, [definition()]) for number in (1, 2, 3)))
    project(
        settings,
        "repositories",
        *(registered(number) for number in range(HERE)),
        *(
            RepositoryPushed(repository_id=number, default_branch="main", tip="c" * 40)
            for number in range(HERE)
        ),
    )
    found = Reader(worker)
    yield found
    found.close()


def asked(insight_id: int, *places: int, lane: Lane = Lane.BACKFILL) -> list[RecordingRequested]:
    return [RecordingRequested(request=request(place, insight_id, lane=lane)) for place in places]


def look(dispatcher: Dispatcher) -> None:
    dispatcher.look_again()
    asyncio.run(dispatcher.tick())


def sent(context: RecordingContext) -> list[tuple[int, int, int]]:
    """(insight, repository, attempt) in the order of dispatch."""
    return [
        (one.request.insight_id, one.request.repository_id, one.attempt)
        for said in context.events
        if isinstance(said.data, RecordingDispatched)
        for one in said.data.requests
    ]


def failures(context: RecordingContext) -> list[SearchFailed]:
    return [said.data for said in context.events if isinstance(said.data, SearchFailed)]


def test_cancelled_and_deleted_are_failed_for_good_and_paused_ones_wait(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    before: list[Payload] = [*asked(1, 1, 2), *asked(2, 3, 4), *asked(3, 5)]
    decided: list[Payload] = [
        BackfillCancelled(insight_id=1),
        InsightDeleted(insight_id=2),
        BackfillPaused(insight_id=3),
    ]
    project(settings, "recordings", *before, *decided, *asked(1, 6), *asked(2, 7, lane=Lane.SCHEDULED))
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    look(dispatcher)
    assert sorted(sent(context)) == [(1, 6, 1), (2, 7, 1)], (
        "what was asked for after it, or for the present, goes"
    )
    said = failures(context)
    assert {(one.insight_id, one.repository_id) for one in said} == {(1, 1), (1, 2), (2, 3), (2, 4)}
    assert {(one.reason, one.final, one.attempt) for one in said} == {("cancelled", True, 1)}
    assert all(one.series[0].frames == requested().frames for one in said), (
        "these cells are awaited no longer"
    )
    look(dispatcher)
    assert len(failures(context)) == 4, "said once while the projection does not show it"
    project(settings, "recordings", *said)
    other = RecordingContext()
    look(dispatcher_of(reader, worker, other))
    assert failures(other) == [], "and never by a successor that sees them"


def test_what_waits_for_a_removed_repository_is_held_until_it_comes_back(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    cloned, ready = HERE, 1
    project(settings, "repositories", registered(cloned))
    project(settings, "recordings", *asked(1, ready, cloned, 2), *asked(2, ready, lane=Lane.SCHEDULED))
    gone = [RepositoryRemoved(repository_id=number) for number in (ready, cloned)]
    project(settings, "repositories", *gone)
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    look(dispatcher)
    assert sent(context) == [(1, 2, 1)], "removed ones are counted no longer, in no lane"
    look(dispatcher)
    assert len(sent(context)) == 1
    assert failures(context) == [], "a refusal would be final, and coming back plans the same requests"
    project(settings, "repositories", *(registered(number) for number in (ready, cloned)))
    look(dispatcher)
    assert sorted(sent(context)) == [(1, ready, 1), (1, 2, 1), (2, ready, 1)]
    project(
        settings, "repositories", RepositoryPushed(repository_id=cloned, default_branch="main", tip="c" * 40)
    )
    look(dispatcher)
    assert (1, cloned, 1) in sent(context), "it came back while it was still to be cloned"


def test_moved_ones_go_first_and_last(settings: Settings, worker: Engine, reader: Reader) -> None:
    project(settings, "settings", SettingsChanged(key=known.CONCURRENCY, value=6, changed_by="me"))
    project(
        settings,
        "recordings",
        BackfillMoved(insight_id=1, to=QueueEnd.BACK),
        BackfillMoved(insight_id=3, to=QueueEnd.FRONT),
        *asked(1, 1, 2, 3),
        *asked(2, 1, 2, 3),
        *asked(3, 1, 2, 3),
    )
    context = RecordingContext()
    look(dispatcher_of(reader, worker, context))
    assert Counter(insight for insight, _, _ in sent(context)) == {3: 3, 2: 2}, "five: one is kept for people"


def test_a_renewed_request_goes_again_and_one_that_is_given_up_fails(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    first, second = request(1, 1), request(2, 1)
    lost = carried([dispatched(first), dispatched(second)])
    project(settings, "recordings", *asked(1, 1, 2), lost)
    context = RecordingContext()
    look(dispatcher_of(reader, worker, context))
    assert sent(context) == [], "both are being counted, as far as anybody knows"
    project(
        settings,
        "recordings",
        ObligationRenewed(obligation="recording.count", aggregate_id=1, subject=first.request_id, attempt=2),
        ObligationFailed(
            obligation="recording.count",
            aggregate_id=2,
            subject=second.request_id,
            attempts=3,
            reason="no-outcome",
            message="nothing came",
        ),
    )
    look(dispatcher_of(reader, worker, context))
    assert sent(context) == [(1, 1, 2)]
    [given_up] = failures(context)
    assert (given_up.repository_id, given_up.reason, given_up.message) == (2, "no-outcome", "nothing came")
    assert (given_up.final, given_up.attempt) == (True, 3)


def test_an_unknown_series_is_held_until_its_definition_can_be_known(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    wanted = requested("late")
    unknown = request(1, 1, series=[wanted])
    captured = request(2, 1, series=[requested(kind=SeriesKind.CAPTURE)])
    project(settings, "recordings", *(RecordingRequested(request=one) for one in (unknown, captured)))
    ends: Vector = {(Topic.INSIGHTS.value, 0): 1}
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context, lambda: ends)
    look(dispatcher)
    assert sent(context) == []
    [wrong] = failures(context)
    assert (wrong.repository_id, wrong.reason) == (2, "not-the-series"), "another kind is another series"
    look(dispatcher)
    assert len(failures(context)) == 1, "the other one is held: its definition may be on its way"
    project(settings, "insights", created(9, [definition("late")]))
    look(dispatcher)
    assert sent(context) == []
    with worker.connect() as connection:
        schema = connection.scalar(
            text("select schema_name from runtime.generations where projection = 'insights'")
        )
    _pass(settings, str(schema))
    look(dispatcher)
    assert sent(context) == [(1, 1, 1)]


def test_a_series_that_is_never_defined_is_refused(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    project(
        settings, "recordings", RecordingRequested(request=request(1, 1, series=[requested("never defined")]))
    )
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context, dict)
    look(dispatcher)
    assert failures(context) == []
    look(dispatcher)
    [refused] = failures(context)
    assert (refused.reason, refused.series) == ("not-the-series", [])


def test_settings_are_read_at_every_look(settings: Settings, worker: Engine, reader: Reader) -> None:
    def change(key: str, value: float | None) -> None:
        project(settings, "settings", SettingsChanged(key=key, value=value, changed_by="me"))

    change(known.RATE_LIMIT, 0.01)
    change(known.RATE_LIMIT_BURST, 3)
    change(known.TIMEOUT_S, 7)
    project(settings, "recordings", *asked(1, *range(HERE)), *asked(2, 0, lane=Lane.INTERACTIVE))
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    look(dispatcher)
    assert len(sent(context)) == 3, "the burst"
    assert (2, 0, 1) in sent(context), "interactive work takes its token first"
    assert {one.timeout_s for one in _requests(context)} == {7.0}
    look(dispatcher)
    assert len(sent(context)) == 3, "no token has come"
    change(known.RATE_LIMIT, None)
    change(known.CONCURRENCY, 5)
    look(dispatcher)
    assert len(sent(context)) == 5
    change(known.CONCURRENCY, None)
    look(dispatcher)
    assert len(sent(context)) > 5


def test_failed_attempts_wait_and_scheduled_work_has_its_half(
    settings: Settings, worker: Engine, reader: Reader
) -> None:
    project(settings, "settings", SettingsChanged(key=known.CONCURRENCY, value=9, changed_by="me"))
    project(settings, "recordings", *asked(1, *range(HERE)), *asked(2, *range(HERE), lane=Lane.SCHEDULED))
    context = RecordingContext()
    look(dispatcher_of(reader, worker, context))
    assert Counter(insight for insight, _, _ in sent(context)) == {1: 4, 2: 4}


def test_the_bucket_gives_what_the_rate_allows_to_all_together(worker: Engine) -> None:
    bucket, rate = TokenBucket(worker, "shared"), Rate(40.0, 10.0)
    taken: list[int] = []
    began_s = time.monotonic()

    def take() -> None:
        while time.monotonic() < began_s + 1.5:
            taken.append(bucket.take(3, rate))

    assert bucket.available(rate) == 20, "half a second's worth, since the burst is less"
    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began_s
    assert 20 + 40 * 1.0 <= sum(taken) <= 20 + 40 * took_s + 1
    assert all(0 <= number <= 3 for number in taken)


def test_a_generation_of_another_build_is_waited_for(
    worker: Engine, reader: Reader, settings: Settings
) -> None:
    project(settings, "recordings", *asked(1, 1))
    context = RecordingContext()
    dispatcher = dispatcher_of(reader, worker, context)
    with make_engine(settings, Role.PROJECTOR, pool_size=1).begin() as projector:
        table = projector.scalar(
            text("select schema_name from runtime.generations where projection = 'recordings'")
        )
        projector.execute(text("set local role millstream_owner"))
        projector.execute(text(f'alter table "{table}".insight_backfill_controls rename to before'))
    try:
        with pytest.raises(ProgrammingError) as caught:
            look(dispatcher)
        assert is_transient(caught.value), "it is tried again until the rebuild has caught up"
    finally:
        with make_engine(settings, Role.PROJECTOR, pool_size=1).begin() as projector:
            projector.execute(text("set local role millstream_owner"))
            projector.execute(text(f'alter table "{table}".before rename to insight_backfill_controls'))
    look(dispatcher)
    assert sent(context) == [(1, 1, 1)]


def test_jobs_of_one_insight_that_run_or_wait_are_busy(settings: Settings, reader: Reader) -> None:
    project(
        settings,
        "recordings",
        *asked(1, 1, 2, 3),
        carried([dispatched(request(2, 1))]),
        BackfillCancelled(insight_id=1),
        *asked(1, 4),
    )
    with reader.snapshot(("recordings",)) as snapshot:
        assert recordings.busy_repositories(snapshot.connection, 1) == {2, 4}
        found = recordings.backfills(snapshot.connection, [1, 2])
        assert (found[1].waiting, found[1].processing, found[2].pending) == (3, 1, 0)


def _requests(context: RecordingContext) -> list[DispatchedRequest]:
    return [
        one
        for said in context.events
        if isinstance(said.data, RecordingDispatched)
        for one in said.data.requests
    ]


def _pass(settings: Settings, schema: str) -> None:
    """Say that the definitions are folded up to offset 1."""
    projector = make_engine(settings, Role.PROJECTOR, pool_size=1)
    with projector.begin() as connection:
        columns = list(
            connection.execute(
                text(
                    "select column_name, data_type from information_schema.columns"
                    " where table_schema = :schema and table_name = 'checkpoints' and is_nullable = 'NO'"
                ),
                {"schema": schema},
            )
        )
        given = {"topic": "'millstream.insights'", "partition": "0", "next_offset": "1"}
        defaults = {"bytea": "''", "text": "''", "timestamp with time zone": "now()"}
        names = ", ".join(f'"{name}"' for name, _ in columns)
        values = ", ".join(given.get(name, defaults.get(kind, "0")) for name, kind in columns)
        connection.execute(text(f'insert into "{schema}".checkpoints ({names}) values ({values})'))
    projector.dispose()
