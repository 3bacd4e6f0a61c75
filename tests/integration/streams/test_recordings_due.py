"""Real workers on a real stack count what grid instants make due: missed ones, twice led, spread over a window."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.insights import queries as insights
from projections.reading import Reader
from projections.settings import queries as site_settings
from schemas.envelope import Event
from schemas.events import (
    BackfillPlanned,
    InsightCreated,
    InsightDeleted,
    PlanCause,
    SearchCompleted,
)
from schemas.grid import Interval, TimeUnit
from schemas.settings.known import RECORDING_WINDOW_S
from schemas.topics import Topic
from streams.batches import BatchContext
from streams.insights.recorder import Recorder
from streams.log_ends import TopicEnds
from streams.publishing import encoded
from tests.integration.streams.children import Child, start_worker
from tests.integration.streams.following import (
    WAIT_S,
    counted_frames,
    planned_frames,
    projected,
    requests_of,
    setting,
    wait_newest,
)
from tests.integration.streams.log import events_on
from tests.integration.streams.sources import make_repository
from tests.integration.streams.test_workers import insight, registration
from tests.support.system import eventually
from tests.unit.streams.events import definition, event

HOUR = Interval(TimeUnit.HOUR)


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    with projected(settings) as found:
        yield found


@pytest.fixture(scope="module")
def worker(settings: Settings, reader: Reader) -> Iterator[Child]:
    with start_worker(settings) as found:
        yield found


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
