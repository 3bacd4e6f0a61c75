"""Several projectors of one group, coming, going and dying while the log grows: the rows are those of one clean replay."""

import signal
import statistics
import time
from collections.abc import Iterator

import pytest

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, RECORDINGS
from projections.reading import Reader
from projections.verification.verify import verify
from schemas.envelope import Event
from schemas.topics import Topic
from tests.stack import StackUnderTest
from tests.support.histories import history, outgoing
from tests.support.projecting import completed, event, result, settings_for
from tests.support.projectors import ProjectorProcess, eventually

NAMES = tuple(one.name for one in PROJECTIONS)
PARTITIONS = 8
"""Of an embedded stack's topics that are keyed by repository."""
BURST, ROUNDS = 3_000, 9
LAST = 900_000
"""The first repository of which nobody else says anything."""
SEEDS = (21, 22, 23, 24, 25)


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    database = engine(settings, Role.APP, pool_size=2)
    reader = Reader(database)
    yield reader
    reader.close()
    database.dispose()


def _wait(settings: Settings, reader: Reader, timeout_s: float = 90.0) -> None:
    with KafkaAdmin(settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in Topic
            for number, marks in admin.watermarks(topic).items()
        }
    for name in NAMES:
        assert reader.wait_until(name, ends, timeout_s), name


def test_projectors_that_come_and_go_leave_the_rows_of_a_clean_replay(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    first, second, third, fourth, fifth = (outgoing(history(seed)) for seed in SEEDS)
    with ProjectorProcess(settings) as one, ProjectorProcess(settings) as two:
        publisher.publish_all(first)
        assert eventually(lambda: _assigned(one) and _assigned(two), 180.0)
        publisher.publish_all(second)
        with ProjectorProcess(settings) as three:
            publisher.publish_all(third)
            assert eventually(lambda: _assigned(three), 180.0)
            assert one.stop() == 0
            publisher.publish_all(fourth)
            two.send(signal.SIGKILL)
            assert two.wait() == -signal.SIGKILL
            publisher.publish_all(fifth)
            _wait(settings, reader)
            found = verify(settings, timeout_s=120.0)
            assert three.stop() == 0
    for comparison in found:
        assert comparison.equal, (
            SEEDS,
            comparison.reason,
            [str(difference) for difference in comparison.differences],
        )
        assert comparison.events > 0
    assert _most_epochs(settings) >= 3, "partitions changed hands"
    assert _verdicts(settings) == {"ACCEPTED", "REJECTED", "DUPLICATE"}


def _assigned(process: ProjectorProcess) -> bool:
    """Whether this process shares a projection with others: it has some of the partitions, not all."""
    every = sum(1 if topic is Topic.INSIGHTS else PARTITIONS for topic in RECORDINGS.topics)
    return 0 < len(process.assigned("recordings")) < every


def _most_epochs(settings: Settings) -> int:
    with connect(settings, Role.PROJECTOR) as connection:
        row = connection.execute("select max(epoch) from recordings_g1.checkpoints").fetchone()
    assert row is not None
    return int(row[0])


def _verdicts(settings: Settings) -> set[str]:
    with connect(settings, Role.PROJECTOR) as connection:
        rows = connection.execute("select distinct outcome from insights_g1.verdicts").fetchall()
    return {str(outcome) for (outcome,) in rows}


@pytest.mark.alone
def test_once_a_burst_of_thousands_is_visible_the_next_event_is_within_250_ms_in_most_rounds_and_the_median(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    with ProjectorProcess(settings, ["series_points"]) as process:
        _settle(publisher, reader)
        took_s = []
        for n in range(ROUNDS):
            first = 10_000 * (n + 1)
            burst = publisher.publish([_result(first + step, f"burst-{n}-{step}") for step in range(BURST)])
            # The flood is over; whatever the projector does for floods must not keep a single event waiting.
            assert reader.wait_for("series_points", burst, 60.0)
            began_s = time.monotonic()
            (position,) = publisher.publish([_result(LAST + n, f"last-{n}")])
            assert reader.wait_for("series_points", [position], 10.0)
            assert _is_there(settings, LAST + n)
            took_s.append(time.monotonic() - began_s)
        assert process.stop() == 0
    assert statistics.median(took_s) < 0.25, took_s
    assert sum(one < 0.25 for one in took_s) >= 0.6 * ROUNDS, took_s


def _is_there(settings: Settings, repository_id: int) -> bool:
    with connect(settings, Role.PROJECTOR) as connection:
        row = connection.execute(
            "select value from series_points_g1.series_points where repo_id = %s", (repository_id,)
        ).fetchone()
    return row == (1.0,)


def _settle(publisher: Publisher, reader: Reader) -> None:
    """The projector has its partitions and has caught up."""
    positions = publisher.publish([_result(1_000 + number, f"settle-{number}") for number in range(200)])
    assert reader.wait_for("series_points", positions, 60.0)


def _result(repository_id: int, request_id: str) -> Event:
    return event(completed(result({600: 1}), repository_id=repository_id, request_id=request_id))
