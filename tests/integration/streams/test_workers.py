"""Real workers on a real stack: from an insight to its cells, and what happens when workers come, go and die."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HEADS_APP
from projections.catalogue import RECORDINGS
from projections.generations import NotProjected
from projections.reading import Reader
from projections.recordings import queries as recordings
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
from schemas.envelope import Event
from schemas.events import (
    BackfillPlanned,
    InsightCreated,
    Lane,
    PlanCause,
    RecordingDispatched,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRegistered,
    SearchCompleted,
    SearchFailed,
    SeriesDefinition,
)
from schemas.ids import aggregate_id, repository_id
from schemas.topics import Topic
from streams.insights.plan import request_id_of
from tests.integration.streams.children import Child, Line, start_projector, start_worker
from tests.integration.streams.log import events_on
from tests.integration.streams.noting_git import QUICK_S, noting_git, overlaps, take, uses_of
from tests.integration.streams.sources import make_repository
from tests.support.system import eventually
from tests.unit.streams.events import definition, event

FRAMES = 3
WAIT_S = 180.0
"""For what takes seconds on a machine that does nothing else."""
HEARD = (Topic.INSIGHTS, Topic.REPOSITORIES)
"""The heads plan by what stands there."""


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    engine: Engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    found = Reader(engine)
    with start_projector(settings):
        eventually(lambda: _projected(found), "the projector", timeout_s=30)
        yield found
    found.close()
    engine.dispose()


def _projected(reader: Reader) -> bool:
    try:
        with reader.snapshot():
            return True
    except NotProjected:
        return False


def registration(folder: Path, *, by_url: bool = False) -> Event:
    name = f"tests.example/{folder.parent.name}/{folder.name}"
    return event(
        RepositoryRegistered(
            repository_id=repository_id(name),
            name=name,
            path=None if by_url else str(folder),
            clone_url=f"file://{folder}" if by_url else None,
        )
    )


def insight(key: str, series: Sequence[SeriesDefinition], frames: int = FRAMES) -> Event:
    payload = InsightCreated(
        insight_id=aggregate_id("insight", "tests", key),
        title=key,
        creator="tests",
        created_at=datetime.now(UTC),
        series=list(series),
        frames=frames,
    )
    return event(payload)


def is_ready(lines: Sequence[Line]) -> bool:
    return any(line.get("action") == "ready" for line in lines)


def jobs_of(reader: Reader, insight_id: int) -> recordings.Progress:
    with reader.snapshot(("recordings",)) as snapshot:
        return recordings.progress(snapshot.connection, [insight_id])[insight_id]


def wait_counted(
    reader: Reader, created: Event, repositories_expected: int, timeout_s: float = WAIT_S
) -> None:
    """Until all cells of the insight's series have an outcome, in so many repositories."""
    assert isinstance(created.data, InsightCreated)
    ids = [one.series_id for one in created.data.series]

    def counted() -> bool:
        with reader.snapshot(("series_points",)) as snapshot:
            found = series_points.progress(snapshot.connection, ids)
        return all(
            series_id in found
            and found[series_id].repositories >= repositories_expected
            and found[series_id].open_cells == 0
            for series_id in ids
        )

    eventually(counted, f"all cells of {created.data.title}", timeout_s=timeout_s)


def values_of(reader: Reader, series: SeriesDefinition) -> dict[int, list[float | None]]:
    """Per repository, by time."""
    found: dict[int, list[float | None]] = defaultdict(list)
    with reader.snapshot(("series_points",)) as snapshot:
        for cell in series_points.per_repository(snapshot.connection, series.series_id):
            found[cell.repository_id].append(cell.value)
    return found


def test_from_an_insight_to_its_cells_by_both_ways(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, reader: Reader, tmp_path: Path
) -> None:
    folder = tmp_path / "both"
    in_place, mirrored, late = (make_repository(folder, f"r{number}", number) for number in (1, 2, 3))
    broken = folder / "broken"
    broken.mkdir()
    first = [registration(in_place), registration(mirrored, by_url=True), registration(broken)]
    series = definition(f"needle repo:/{folder.name}/")
    bad = definition(f"author:me repo:/{folder.name}/r1$")
    created = insight("both", [series, bad])
    assert isinstance(created.data, InsightCreated)
    with start_worker(settings) as worker:
        publisher.publish(first)
        publisher.publish([created])
        eventually(lambda: jobs_of(reader, int(created.key)).total, "the first requests", timeout_s=WAIT_S)
        publisher.publish([registration(late)])
        wait_counted(reader, created, 4)
        assert worker.terminate() == 0

    ids = {path: int(registration(path).key) for path in (in_place, mirrored, late, broken)}
    values = values_of(reader, series)
    assert {
        ids[in_place]: [1, 1, 1],
        ids[mirrored]: [2, 2, 2],
        ids[late]: [3, 3, 3],
    }.items() <= values.items()
    assert values[ids[broken]] == [None] * FRAMES, "failed is not zero"
    with reader.snapshot(("series_points", "repositories")) as snapshot:
        failed = series_points.per_repository(snapshot.connection, bad.series_id)
        broken_row = repositories.by_ids(snapshot.connection, [ids[broken]])[ids[broken]]
    assert {(cell.state, cell.reason) for cell in failed} == {("failed", "invalid-query")}
    assert broken_row.clone_state == "failed"
    assert not (settings.home / "mirrors" / f"{ids[in_place]}.git").exists()
    assert (settings.home / "mirrors" / f"{ids[mirrored]}.git").is_dir()

    mine = set(ids.values())
    requests = [
        one
        for one in events_on(settings, admin, [Topic.RECORDINGS])
        if isinstance(one.data, RecordingRequested)
        and one.data.request.repository_id in mine
        and one.data.request.lane is Lane.BACKFILL
    ]
    assert {one.id for one in requests} == {
        request_id_of(int(created.key), number, [series.series_id, bad.series_id]) for number in mine
    }, "whichever way the pair was met"
    plans = [
        one.data
        for one in events_on(settings, admin, [Topic.INSIGHTS])
        if isinstance(one.data, BackfillPlanned)
    ]
    assert {plan.cause for plan in plans} == {PlanCause.INSIGHT_CREATED, PlanCause.REPOSITORY_REGISTERED}
    assert all(plan.waited_for for plan in plans)
    attempts = Counter(
        one.request.repository_id
        for found in events_on(settings, admin, [Topic.WORK_BACKGROUND])
        if isinstance(found.data, RecordingDispatched)
        for one in found.data.requests
        if one.request.lane is Lane.BACKFILL
    )
    assert attempts[ids[broken]] == 3, "tried again, then given up"
    assert attempts[ids[late]] == 1


def test_what_is_said_again_is_not_counted_again(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin, reader: Reader, tmp_path: Path
) -> None:
    path = make_repository(tmp_path / "again", "r", 1)
    registered, created = registration(path), insight("again", [definition("needle repo:/again/")])
    said = [registered, created]
    with start_worker(settings) as worker:
        publisher.publish(said)
        wait_counted(reader, created, 1)

        def completed() -> list[Event]:
            found = events_on(settings, admin, [Topic.RESULTS])
            return [
                one for one in found if isinstance(one.data, SearchCompleted) and one.key == registered.key
            ]

        def mine(topic: Topic) -> list[Event]:
            return [one for one in events_on(settings, admin, [topic]) if one.key == registered.key]

        def passed() -> bool:
            """The heads have read everything, and all that they asked for has an outcome."""
            offsets = admin.group_offsets(HEADS_APP)
            ends = {
                (topic, n): at.end for topic in HEARD for n, at in admin.watermarks(topic).items() if at.end
            }
            asked = {
                one.data.request.request_id
                for one in mine(Topic.RECORDINGS)
                if isinstance(one.data, RecordingRequested)
            }
            # An insight of the test before, whose query cannot be read, is asked for here too, and fails.
            answered = {
                one.data.request_id
                for one in mine(Topic.RESULTS)
                if isinstance(one.data, SearchCompleted | SearchFailed)
            }
            return all(offsets.get(at, 0) >= end for at, end in ends.items()) and asked == answered

        def pushed() -> bool:
            return any(isinstance(one.data, RepositoryPushed) for one in mine(Topic.REPOSITORIES))

        def projected_jobs() -> recordings.Progress:
            """As they stand once the projection has passed what is on its topics now."""
            ends = {
                (str(topic), n): at.end
                for topic in RECORDINGS.topics
                for n, at in admin.watermarks(topic).items()
            }
            assert reader.wait_until("recordings", ends, WAIT_S)
            return jobs_of(reader, int(created.key))

        worker.wait_for(lambda _: pushed() and passed(), "the push to be counted too", timeout_s=WAIT_S)
        before, jobs = completed(), projected_jobs()
        publisher.publish(said)
        worker.wait_for(lambda _: passed(), "the heads to pass both events", timeout_s=WAIT_S)
        assert [one.id for one in completed()] == [one.id for one in before]
        assert projected_jobs() == jobs
        assert worker.terminate() == 0


@pytest.fixture
def slow_git(tmp_path: Path) -> tuple[Path, Path]:
    """(a folder for PATH with a git that takes its time, the file in which it notes when it ran where)."""
    return noting_git(tmp_path)


def test_no_repository_is_counted_by_two_at_once_while_workers_come_and_die(
    settings: Settings, publisher: Publisher, reader: Reader, tmp_path: Path, slow_git: tuple[Path, Path]
) -> None:
    path, notes = slow_git
    count = 24
    folder = tmp_path / "moving"
    registrations = [registration(make_repository(folder, f"r{number}", number)) for number in range(count)]
    created = insight("moving", [definition("needle repo:/moving/")])
    assert isinstance(created.data, InsightCreated)
    search_path = f"{path}:/usr/local/bin:/usr/bin:/bin"

    def hands() -> Child:
        return start_worker(settings, "hands", PATH=search_path)

    def done() -> int:
        return jobs_of(reader, int(created.key)).completed

    with start_worker(settings, "heads"), hands() as first:
        publisher.publish(registrations)

        def ready() -> bool:
            with reader.snapshot(("repositories",)) as snapshot:
                rows = repositories.by_ids(snapshot.connection, [int(one.key) for one in registrations])
            return len(rows) == count and all(row.clone_state == "ready" for row in rows.values())

        eventually(ready, "all repositories to be ready", timeout_s=WAIT_S)
        publisher.publish([created])
        eventually(lambda: done() >= 2, "the first results", timeout_s=WAIT_S)
        take(path, 2.0)  # a worker that starts beside everything else must find something left
        with hands() as second:
            second.wait_for(is_ready, "the second worker to get partitions", timeout_s=WAIT_S)
            take(path, QUICK_S)
            eventually(lambda: done() >= count // 3, "results of both", timeout_s=WAIT_S)
            counters = psutil.Process(first.pid).children(recursive=True)
            killed_at = time.time()
            first.kill()
            _, alive = psutil.wait_procs(counters, timeout=5)
            assert not alive, "who counts dies with the worker"
            assert done() < count, "there was work left to take over"
            wait_counted(reader, created, count)
            assert second.terminate() == 0

    mine = {process.pid for process in counters}
    # The workers themselves look at refs (registrar, poller); their counting processes count.
    looking = {first.pid, second.pid}
    # A git that outlives its counting process by a moment reads for nobody: the count ended with the kill.
    uses = {
        name: [
            use._replace(ended=min(use.ended, killed_at)) if use.user in mine else use
            for use in found
            if use.user not in looking
        ]
        for name, found in uses_of(notes).items()
        if f"/{folder.name}/" in name
    }
    assert len(uses) == count
    assert {name: pairs for name, found in uses.items() if (pairs := overlaps(found))} == {}
    users = {use.user for found in uses.values() for use in found}
    assert users & mine, "the first worker counted"
    assert users - mine, "the second worker counted"
    assert max(use.began for found in uses.values() for use in found if use.user not in mine) > killed_at
    expected = {int(one.key): [float(number)] * FRAMES for number, one in enumerate(registrations)}
    assert values_of(reader, definition("needle repo:/moving/")) == expected


def test_a_lost_slot_ends_the_process(settings: Settings) -> None:
    with start_worker(settings, "heads") as worker:
        worker.wait_for(is_ready, "the heads to be ready")
        with psycopg.connect(settings.dsn(Role.ADMIN), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                (f"millstream-slot-{HEADS_APP}",),
            ).fetchall()
        assert ended == [(True,)]
        assert worker.exit_code(10) == 70
        [last] = [line for line in worker.lines if line.get("action") == "process_dies"]
        assert f"the session of slot {HEADS_APP}-0 is lost" in str(last["exception"])


def test_the_parent_starts_a_dead_app_again_and_takes_all_with_it(settings: Settings) -> None:
    with start_worker(settings) as worker:

        def apps() -> dict[str, psutil.Process]:
            return {child.name(): child for child in psutil.Process(worker.pid).children()}

        worker.wait_for(lambda lines: sum(is_ready([line]) for line in lines) == 2, "both apps to be ready")
        before = apps()
        before["heads"].kill()
        worker.wait_for(
            lambda lines: sum(is_ready([line]) for line in lines) == 3, "the heads to be ready again"
        )
        after = apps()
        assert after["hands"].pid == before["hands"].pid, "the other app went on"
        assert after["heads"].pid != before["heads"].pid
        listening = [
            one
            for process in (psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True))
            for one in process.net_connections()
            if one.status == psutil.CONN_LISTEN
        ]
        assert listening == []
        family = psutil.Process(worker.pid).children(recursive=True)
        assert worker.terminate() == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
