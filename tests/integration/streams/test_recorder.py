"""Real workers on a real stack follow the present: pushes told and seen, grid instants, repositories that come and go."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import NotProjected
from projections.insights import queries as insights
from projections.reading import Reader
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
from projections.series_points.queries import RepositorySnapshot
from projections.settings import queries as site_settings
from schemas.envelope import Event
from schemas.events import (
    BackfillPlanned,
    InsightCreated,
    InsightDeleted,
    Lane,
    PatternType,
    PlanCause,
    RecordingRequest,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRefreshRequested,
    RepositoryRemoved,
    RepositoryRenamed,
    SearchCompleted,
    SeriesDefinition,
    SeriesKind,
    SettingsChanged,
)
from schemas.grid import Interval, TimeUnit
from schemas.settings.known import POLL_INTERVAL_S, RECORDING_WINDOW_S
from schemas.topics import Topic
from streams.batches import BatchContext
from streams.insights.recorder import Recorder
from streams.log_ends import TopicEnds
from streams.publishing import encoded
from tests.integration.streams.children import Child, start_projector, start_worker
from tests.integration.streams.log import events_on
from tests.integration.streams.test_workers import insight, make_repository, registration
from tests.support.repositories import git
from tests.support.system import eventually
from tests.unit.streams.events import definition, event

WAIT_S = 60.0
HOUR = Interval(TimeUnit.HOUR)


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    engine = make_engine(settings, Role.WORKER, pool_size=4, name="test")
    found = Reader(engine)

    def projected() -> bool:
        try:
            with found.snapshot():
                return True
        except NotProjected:
            return False

    with start_projector(settings):
        eventually(projected, "the projector", timeout_s=30)
        yield found
    found.close()
    engine.dispose()


@pytest.fixture(scope="module")
def worker(settings: Settings, reader: Reader) -> Iterator[Child]:
    with start_worker(settings) as found:
        yield found


def setting(key: str, value: float | None) -> Event:
    return event(SettingsChanged(key=key, value=value, changed_by="tests"))


def refresh(repository: int) -> Event:
    return event(RepositoryRefreshRequested(repository_id=repository))


def commit(folder: Path, name: str, text: str) -> str:
    """One more commit on the bare repository's branch; its id."""
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=text.encode()).decode().strip()
    entries = git(folder, "ls-tree", "main").decode()
    kept = [line for line in entries.splitlines() if not line.endswith(f"\t{name}")]
    listing = "\n".join([*kept, f"100644 blob {blob}\t{name}"]) + "\n"
    tree = git(folder, "mktree", stdin=listing.encode()).decode().strip()
    made = git(folder, "commit-tree", tree, "-p", "main", "-m", "more").decode().strip()
    git(folder, "update-ref", "refs/heads/main", made)
    return made


def newest(reader: Reader, series: SeriesDefinition) -> Mapping[int, RepositorySnapshot]:
    with reader.snapshot(("series_points",)) as snapshot:
        return series_points.snapshots(snapshot.connection, [series.series_id])[series.series_id]


def wait_newest(reader: Reader, series: SeriesDefinition, wanted: Mapping[int, int]) -> None:
    def shown() -> bool:
        return {key: one.value for key, one in newest(reader, series).items()}.items() >= wanted.items()

    eventually(shown, f"the newest counts {wanted}", timeout_s=WAIT_S)


def requests_of(settings: Settings, admin: KafkaAdmin, *repository_ids: int) -> list[RecordingRequest]:
    return [
        one.data.request
        for one in events_on(settings, admin, [Topic.RECORDINGS])
        if isinstance(one.data, RecordingRequested) and one.data.request.repository_id in repository_ids
    ]


def counted_frames(reader: Reader, series: SeriesDefinition) -> dict[int, set[int]]:
    """Covered grid indexes by repository."""
    with reader.snapshot(("series_points",)) as snapshot:
        cells = series_points.known_cells(snapshot.connection, [series.series_id])
    return {
        repository: {index for start, end in known.covered for index in range(start, end)}
        for (_, repository), known in cells.items()
    }


def planned_frames(reader: Reader, series: SeriesDefinition) -> dict[int, set[int]]:
    with reader.snapshot(("series_points",)) as snapshot:
        cells = series_points.known_cells(snapshot.connection, [series.series_id])
    return {
        repository: {index for start, end in known.planned for index in range(start, end)}
        for (_, repository), known in cells.items()
    }


def test_a_push_moves_the_newest_count_by_the_difference(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "pushed"
    one, two = make_repository(folder, "r1", 1), make_repository(folder, "r2", 2)
    first = [registration(one), registration(two, by_url=True)]
    ids = {one: int(first[0].key), two: int(first[1].key)}
    series = definition("needle repo:/pushed/")
    captured = definition(
        r"patternType:regexp (needle \w+) repo:/pushed/",
        kind=SeriesKind.CAPTURE,
        pattern_type=PatternType.REGEXP,
    )
    publisher.publish(first)
    publisher.publish([insight("pushed", [series, captured])])
    wait_newest(reader, series, {ids[one]: 2, ids[two]: 3})
    tips = {path: commit(path, "c.txt", "needle one\nneedle two\nneedle three\n") for path in (one, two)}
    publisher.publish([refresh(ids[one]), refresh(ids[two])])
    wait_newest(reader, series, {ids[one]: 5, ids[two]: 6})
    wait_newest(reader, captured, {ids[one]: 4})
    found = newest(reader, series)
    assert [(found[ids[path]].commit, found[ids[path]].reason) for path in (one, two)] == [
        (tips[one], None),
        (tips[two], None),
    ]
    labels = newest(reader, captured)[ids[one]].captures
    assert labels == {"needle of": 1, "needle one": 1, "needle two": 1, "needle three": 1}

    asked = [
        request
        for request in requests_of(settings, admin, ids[one])
        if request.snapshot is not None and request.snapshot.commit == tips[one]
    ]
    assert [(request.lane, request.snapshot is not None) for request in asked] == [(Lane.SCHEDULED, True)]
    assert asked[0].snapshot is not None
    assert asked[0].snapshot.base_commit is not None
    by_series = {one.series_id: one for one in asked[0].series}
    assert (by_series[series.series_id].base_value, by_series[captured.series_id].base_value) == (2, None)
    results = [
        found.data
        for found in events_on(settings, admin, [Topic.RESULTS])
        if isinstance(found.data, SearchCompleted) and found.data.request_id == asked[0].request_id
    ]
    assert [result.snapshot and result.snapshot.commit for result in results] == [tips[one]]
    pushes = [
        found.data
        for found in events_on(settings, admin, [Topic.REPOSITORIES])
        if isinstance(found.data, RepositoryPushed) and found.data.tip == tips[one]
    ]
    assert [push.previous_tip for push in pushes] == [asked[0].snapshot.base_commit]


def test_a_move_that_nobody_tells_of_is_seen(
    publisher: Publisher, reader: Reader, worker: Child, tmp_path: Path
) -> None:
    path = make_repository(tmp_path / "seen", "r", 1)
    registered, series = registration(path), definition("needle repo:/seen/")
    publisher.publish([registered])
    publisher.publish([insight("seen", [series])])
    wait_newest(reader, series, {int(registered.key): 2})
    publisher.publish([setting(POLL_INTERVAL_S, 1)])
    try:
        commit(path, "c.txt", "needle\n")
        wait_newest(reader, series, {int(registered.key): 3})
    finally:
        publisher.publish([setting(POLL_INTERVAL_S, None)])


def test_repositories_come_are_renamed_go_and_come_back(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "moving"
    first, late = make_repository(folder, "r1", 1), make_repository(folder, "r2", 2)
    series = definition("needle repo:/moving/")
    created = insight("moving", [series])
    registered, came = registration(first), registration(late)
    one, two = int(registered.key), int(came.key)
    publisher.publish([registered])
    publisher.publish([created])
    wait_newest(reader, series, {one: 2})
    publisher.publish([came])
    wait_newest(reader, series, {one: 2, two: 3})
    eventually(
        lambda: len(counted_frames(reader, series).get(two, ())) == 3, "the past of the one that came later"
    )
    before = counted_frames(reader, series)[one]
    publisher.publish([event(RepositoryRenamed(repository_id=one, name="tests.example/moving/other-name"))])
    commit(first, "c.txt", "needle\n")
    publisher.publish([refresh(one)])
    wait_newest(reader, series, {one: 3})
    assert counted_frames(reader, series)[one] == before

    publisher.publish([event(RepositoryRemoved(repository_id=two))])
    commit(late, "c.txt", "needle\n")
    publisher.publish([refresh(two)])
    commit(first, "c.txt", "needle needle\n")
    publisher.publish([refresh(one)])
    wait_newest(reader, series, {one: 4})
    assert newest(reader, series)[two].value == 3, "it is followed no longer"
    publisher.publish([registration(late)])
    wait_newest(reader, series, {two: 4})
    with reader.snapshot(("repositories",)) as snapshot:
        assert repositories.by_ids(snapshot.connection, [two])[two].removed_at is None


class At:
    """A context that stands at one time and publishes for real."""

    def __init__(self, publisher: Publisher, now: datetime) -> None:
        async def publish(outgoing: object) -> object:
            return await asyncio.to_thread(lambda: publisher.publish_all(encoded(outgoing)))  # type: ignore[arg-type]

        self._context = BatchContext(publish)  # type: ignore[arg-type]
        self._now = now

    def now(self) -> datetime:
        return self._now

    @property
    def publish(self) -> object:
        return self._context.publish


def recorder_at(reader: Reader, admin: KafkaAdmin, publisher: Publisher, now: datetime) -> Recorder:
    return Recorder(reader, TopicEnds(admin), At(publisher, now))  # type: ignore[arg-type]


def plans_of(settings: Settings, admin: KafkaAdmin, created: Event) -> list[BackfillPlanned]:
    return [
        one.data
        for one in events_on(settings, admin, [Topic.INSIGHTS])
        if isinstance(one.data, BackfillPlanned)
        and one.key == created.key
        and one.data.cause is PlanCause.RECORDING_DUE
    ]


def test_instants_missed_are_caught_up_and_two_leaders_count_once(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "hourly"
    path, other = make_repository(folder, "r1", 1), make_repository(folder, "r2", 1)
    series = definition("needle repo:/hourly/", unit=TimeUnit.HOUR)
    twin = definition("of repo:/hourly/", unit=TimeUnit.HOUR)
    created = insight("hourly", [series, twin])
    assert isinstance(created.data, InsightCreated)
    now = datetime.now(UTC)
    created = event(msgspec.structs.replace(created.data, created_at=now - timedelta(hours=4)))
    registered = [registration(path), registration(other)]
    ids = [int(one.key) for one in registered]
    publisher.publish(registered)
    publisher.publish([created])
    newest_index = HOUR.index_at(datetime.now(UTC))
    frames = set(range(HOUR.index_at(now - timedelta(hours=4)) - 2, newest_index + 1))
    eventually(
        lambda: all(counted_frames(reader, series).get(one, set()) >= frames for one in ids),
        "what was missed before the insight was seen",
        timeout_s=WAIT_S,
    )
    later = HOUR.instant(newest_index + 3) + timedelta(minutes=5)

    async def two_leaders() -> list[int]:
        leaders = [recorder_at(reader, admin, publisher, later) for _ in range(2)]
        return await asyncio.gather(*(one.record(later) for one in leaders))

    before = len(requests_of(settings, admin, *ids))
    asyncio.run(two_leaders())
    wanted = frames | set(range(newest_index + 1, newest_index + 4))
    eventually(
        lambda: all(
            counted_frames(reader, one).get(key, set()) >= wanted for one in (series, twin) for key in ids
        ),
        "the recordings of both leaders",
        timeout_s=WAIT_S,
    )
    eventually(lambda: planned_frames(reader, series).get(ids[0], set()) >= wanted, "their plan")
    made = requests_of(settings, admin, *ids)[before:]
    assert {len(one.series) for one in made} == {2}, "one request for all series that are due"
    assert len({(one.repository_id, one.request_id) for one in made}) == 2, "both leaders asked the same"
    completed = Counter(
        one.data.request_id
        for one in events_on(settings, admin, [Topic.RESULTS])
        if isinstance(one.data, SearchCompleted)
    )
    assert [completed[one.request_id] for one in made] == [1] * len(made)
    again = recorder_at(reader, admin, publisher, later)
    assert asyncio.run(again.record(later)) == 0, "a leader that comes later finds it planned"
    publisher.publish([event(InsightDeleted(insight_id=int(created.key)))])
    eventually(lambda: _is_gone(reader, int(created.key)), "the insight to be gone")
    much_later = later + timedelta(hours=2)
    assert asyncio.run(recorder_at(reader, admin, publisher, much_later).record(much_later)) == 0


def _is_gone(reader: Reader, insight_id: int) -> bool:

    with reader.snapshot(("insights",)) as snapshot:
        return insights.view(snapshot.connection, insight_id) is None


def test_recordings_are_spread_over_the_window_and_shown_after_it(
    settings: Settings,
    publisher: Publisher,
    admin: KafkaAdmin,
    reader: Reader,
    worker: Child,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "spread"
    registered = [registration(make_repository(folder, f"r{number}", 1)) for number in range(8)]
    ids = [int(one.key) for one in registered]
    series = definition("needle repo:/spread/", unit=TimeUnit.HOUR)
    created = insight("spread", [series])
    publisher.publish(registered)
    publisher.publish([created])
    wait_newest(reader, series, dict.fromkeys(ids, 2))
    index = HOUR.index_at(datetime.now(UTC)) + 2
    instant = HOUR.instant(index)
    publisher.publish([setting(RECORDING_WINDOW_S, 600)])
    try:
        eventually(lambda: _window_s(reader) == 600.0, "the setting")
        leader = recorder_at(reader, admin, publisher, instant)

        async def at(seconds: float) -> int:
            return await leader.record(instant + timedelta(seconds=seconds))

        made = [asyncio.run(at(seconds)) for seconds in (0, 300, 300)]
        assert 0 < made[1] < 8
        assert made[2] == 0
        assert plans_of(settings, admin, created) == [], "not before all of it was asked for"
        made.append(asyncio.run(at(600)))
        assert sum(made) == 8
        assert len(plans_of(settings, admin, created)) == 1
    finally:
        publisher.publish([setting(RECORDING_WINDOW_S, None)])
    eventually(
        lambda: all(index in planned_frames(reader, series).get(one, ()) for one in ids),
        "the plan after the window",
    )
    eventually(
        lambda: all(index in counted_frames(reader, series).get(one, ()) for one in ids),
        "the recordings",
        timeout_s=WAIT_S,
    )


def _window_s(reader: Reader) -> float:

    with reader.snapshot(("settings",)) as snapshot:
        return site_settings.values(snapshot.connection).recording_window_s
