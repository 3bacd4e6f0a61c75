"""Several projectors over one log: they share partitions, succeed each other, and a paused one is fenced."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import RECORDINGS
from projections.reading import Reader
from projections.runner import faults
from schemas.envelope import Position
from schemas.events import SearchCompleted
from schemas.topics import Topic
from tests.stack import StackUnderTest
from tests.support.projecting import completed, event, result, settings_for
from tests.support.projectors import ProjectorProcess, eventually

ONLY = ("recordings",)
TOPICS = [topic.value for topic in RECORDINGS.topics if topic is not Topic.INSIGHTS]
"""Those keyed by repository; the insights' topic has one partition, which belongs to nobody in particular."""


@pytest.fixture
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture
def publish(settings: Settings) -> Iterator[Callable[[str, int], list[Position]]]:
    with Publisher(settings) as publisher:

        def publish(name: str, number: int) -> list[Position]:
            return publisher.publish([event(_outcome(f"{name}-{n}", 500 + n)) for n in range(number)])

        yield publish


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    database = engine(settings, Role.APP)
    reader = Reader(database)
    yield reader
    reader.close()
    database.dispose()


def _outcome(request_id: str, repository: int) -> SearchCompleted:
    return completed(result({600: 1}), repository_id=repository, request_id=request_id)


def _numbers(partitions: set[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {topic: set() for topic in TOPICS}
    for place in partitions:
        topic, _, number = place.rpartition("/")
        if topic in found:
            found[topic].add(int(number))
    return found


def test_partition_n_of_all_repository_topics_is_at_one_projector_and_a_killed_one_is_succeeded(
    settings: Settings, publish: Callable[[str, int], list[Position]], reader: Reader
) -> None:
    with ProjectorProcess(settings, ONLY) as first, ProjectorProcess(settings, ONLY) as second:
        assert eventually(lambda: _shared(first.assigned("recordings"), second.assigned("recordings")), 40.0)
        for one in (first, second):
            numbers = list(_numbers(one.assigned("recordings")).values())
            assert all(found == numbers[0] for found in numbers)
            assert len(numbers[0]) == 4
        assert reader.wait_for("recordings", publish("both", 40), 30.0)
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert reader.wait_for("recordings", publish("one", 40), 30.0)
        assert len(second.assigned("recordings")) == 8 * len(TOPICS) + 1
        assert _jobs(settings) == 80
        assert second.stop() == 0


def test_a_paused_projector_with_a_batch_in_hand_is_fenced_when_it_comes_back(
    settings: Settings, publish: Callable[[str, int], list[Position]], reader: Reader, tmp_path: Path
) -> None:
    before = _jobs(settings)
    marker = tmp_path / "paused"
    stop_before_write = {
        faults.STOP_VARIABLE: f"recordings:{faults.Point.BEFORE_WRITE}",
        faults.MARKER_VARIABLE: str(marker),
    }
    with (
        ProjectorProcess(settings, ONLY, stop_before_write) as first,
        ProjectorProcess(settings, ONLY) as second,
    ):
        assert eventually(lambda: _shared(first.assigned("recordings"), second.assigned("recordings")), 40.0)
        epochs = _epochs(settings)
        positions = publish("paused", 60)
        assert eventually(marker.exists, 20.0), "it stops with a batch that is not written"
        assert eventually(lambda: len(second.assigned("recordings")) == 8 * len(TOPICS) + 1, 40.0)
        assert reader.wait_for("recordings", positions, 30.0)
        assert all(epoch > epochs[place] for place, epoch in _epochs(settings).items())
        first.send(signal.SIGCONT)
        assert eventually(lambda: any(line.get("action") == "fenced" for line in first.lines), 40.0)
        assert eventually(lambda: _shared(first.assigned("recordings"), second.assigned("recordings")), 40.0)
        assert reader.wait_for("recordings", publish("after", 60), 30.0)
        assert _jobs(settings) == before + 120
        assert (first.stop(), second.stop()) == (0, 0)


def _shared(first: set[str], second: set[str]) -> bool:
    return bool(first and second) and not first & second and len(first | second) == 8 * len(TOPICS) + 1


def _jobs(settings: Settings) -> int:
    try:
        row = _query(settings, "select count(*) from recordings_g1.insights_query_runner_jobs")
    except psycopg.errors.UndefinedTable:
        return 0
    return int(str(row[0][0]))


def _epochs(settings: Settings) -> dict[tuple[str, int], int]:
    return {
        (str(topic), int(str(number))): int(str(epoch))
        for topic, number, epoch in _query(
            settings, "select topic, partition, epoch from recordings_g1.checkpoints"
        )
    }


def _query(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with connect(settings, Role.PROJECTOR) as connection:
        return connection.execute(query.encode()).fetchall()
