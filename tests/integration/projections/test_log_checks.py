"""Another log, a cut log, a paused writer: each stops or is fenced, and with that check switched off the rows are wrong."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.errors import PublishFailed
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import RECORDINGS, REPOSITORIES
from projections.lag import projection_lags
from projections.projection import Projection
from projections.reading import Reader
from projections.runner import faults
from projections.runner.errors import LogMismatch, LogTruncated
from projections.verification.verify import Outcome, verify
from schemas.envelope import Position
from schemas.events import (
    DispatchedRequest,
    Lane,
    RecordingDispatched,
    RecordingRequest,
    RepositoryRegistered,
    RepositoryRenamed,
    RequestedSeries,
)
from schemas.grid import TimeUnit
from schemas.topics import Topic
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import SERIES, event, settings_for
from tests.support.projectors import ProjectorProcess, eventually
from tests.support.running import running


@pytest.fixture
def settings(own_stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(own_stack.database_url, "log_checks") as url:
        found = settings_for(url, tmp_path / "home", own_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@contextmanager
def reading(settings: Settings) -> Iterator[Reader]:
    database: Engine = engine(settings, Role.APP)
    reader = Reader(database)
    yield reader
    reader.close()
    database.dispose()


def registered(numbers: Sequence[int], name: str) -> list[RepositoryRegistered]:
    return [RepositoryRegistered(repository_id=n, name=f"local/{name}{n}", path="/p") for n in numbers]


def pass_(settings: Settings, projection: Projection, positions: Sequence[Position]) -> None:
    """Run the projection until it has applied these."""
    with reading(settings) as reader, running(settings, projection) as runners:
        assert reader.wait_for(projection.name, positions, 60.0)
    assert not runners.failures


def state(settings: Settings, projection: Projection) -> tuple[str, str]:
    database = engine(settings, Role.PROJECTOR)
    with KafkaAdmin(settings) as admin, database.connect() as connection:
        lags = projection_lags(connection, admin)
    database.dispose()
    return next((lag.state, lag.reason) for lag in lags if lag.projection == projection.name)


def recreate(settings: Settings, topic: Topic) -> None:
    """The same topic, made anew."""
    with KafkaAdmin(settings) as admin:
        found = admin.describe([topic])[topic]
        admin.delete_topics([topic])
        assert eventually(lambda: topic.value not in admin.topics(), 30.0)
        kept = ("retention.ms", "retention.bytes", "message.timestamp.type")
        admin.create_topics(
            [NewTopic(topic.value, found.partitions, 1, {name: found.settings[name] for name in kept})]
        )


def published(settings: Settings, payloads: Sequence[RepositoryRegistered]) -> list[Position]:
    """Published by a producer that knows nothing of the topic before."""
    found: list[Position] = []

    def done() -> bool:
        try:
            with Publisher(settings) as publisher:
                found[:] = publisher.publish([event(payload) for payload in payloads])
        except PublishFailed:
            return False
        return True

    assert eventually(done, 30.0)
    return found


@pytest.mark.parametrize("longer", [False, True], ids=["shorter", "longer than the checkpoint"])
def test_a_topic_made_anew_stops_the_projection_and_names_the_remedy(
    settings: Settings, publisher: Publisher, *, longer: bool
) -> None:
    pass_(settings, REPOSITORIES, publisher.publish([event(one) for one in registered(range(40), "old")]))
    recreate(settings, Topic.REPOSITORIES)
    published(settings, registered(range(120 if longer else 5), "new"))
    with running(settings, REPOSITORIES) as runners:
        assert eventually(lambda: bool(runners.failures), 60.0)
    (failure,) = runners.failures
    assert isinstance(failure, LogMismatch)
    assert "another topic" in str(failure)
    assert "runtime.generations" in failure.remedy
    said, reason = state(settings, REPOSITORIES)
    assert said == "LOG_MISMATCH"
    assert failure.remedy in reason


def test_without_the_check_the_loss_is_found_by_comparing(
    settings: Settings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_(settings, REPOSITORIES, publisher.publish([event(one) for one in registered(range(40), "old")]))
    assert [one.outcome for one in verify(settings, ["repositories"])] == [Outcome.EQUAL]
    recreate(settings, Topic.REPOSITORIES)
    positions = published(settings, registered(range(120), "new"))
    monkeypatch.setenv(faults.BUG_VARIABLE, faults.Bug.NO_LOG_CHECK.value)
    pass_(settings, REPOSITORIES, positions)
    monkeypatch.delenv(faults.BUG_VARIABLE)
    (found,) = verify(settings, ["repositories"])
    assert found.outcome is not Outcome.EQUAL
    assert found.different or found.reason, "the head of the new log was never folded"


def test_a_topic_made_anew_under_a_running_projection_stops_it(
    settings: Settings, publisher: Publisher
) -> None:
    with reading(settings) as reader, running(settings, REPOSITORIES) as runners:
        positions = publisher.publish([event(one) for one in registered(range(40), "old")])
        assert reader.wait_for("repositories", positions, 60.0)
        recreate(settings, Topic.REPOSITORIES)
        published(settings, registered(range(120), "new"))
        assert eventually(lambda: bool(runners.failures), 60.0)
    assert isinstance(runners.failures[0], LogMismatch)
    assert state(settings, REPOSITORIES)[0] == "LOG_MISMATCH"


def dispatched(number: int) -> RecordingDispatched:
    request = RecordingRequest(
        request_id=f"r-{number}",
        repository_id=1,
        insight_id=7,
        creator="c",
        lane=Lane.BACKFILL,
        series=[
            RequestedSeries(series_id=SERIES, query="q0", unit=TimeUnit.MONTH, value=1, frames=[(600, 601)])
        ],
    )
    return RecordingDispatched(
        deadline=datetime(2027, 1, 1, tzinfo=UTC),
        requests=[DispatchedRequest(request=request, attempt=1)],
    )


def test_a_transient_topic_that_was_cut_is_gone_on_with(settings: Settings, publisher: Publisher) -> None:
    def publish(numbers: Sequence[int]) -> list[Position]:
        return publisher.publish([event(dispatched(number)) for number in numbers], Topic.WORK_BACKGROUND)

    pass_(settings, RECORDINGS, publish(range(5)))
    lost, left = publish(range(5, 10)), publish([10])
    with KafkaAdmin(settings) as admin:
        admin.delete_records({(lost[0].topic, lost[0].partition): left[0].offset})
    pass_(settings, RECORDINGS, left)
    with connect(settings, Role.PROJECTOR) as connection:
        rows = connection.execute(
            "select request_id from recordings_g1.insights_query_runner_jobs where dispatched_at is not null"
        ).fetchall()
    assert {row[0] for row in rows} >= {"r-0", "r-4", "r-10"}
    assert "r-7" not in {row[0] for row in rows}


@pytest.mark.parametrize("fencing", [True, False], ids=["fenced", "fencing switched off"])
def test_a_paused_projector_that_comes_back_changes_nothing_unless_fencing_is_off(
    settings: Settings, publisher: Publisher, tmp_path: Path, *, fencing: bool
) -> None:
    number = 4_000 + fencing
    marker = tmp_path / "paused"
    pause = {
        faults.STOP_VARIABLE: f"repositories:{faults.Point.BEFORE_WRITE}",
        faults.MARKER_VARIABLE: str(marker),
    }
    bug = {} if fencing else {faults.BUG_VARIABLE: faults.Bug.NO_FENCING.value}
    registration = publisher.publish([event(one) for one in registered([number], "r")])
    with (
        reading(settings) as reader,
        ProjectorProcess(settings, ["repositories"], pause | bug) as paused,
    ):
        assert eventually(marker.exists, 60.0), "it holds the registration, not written"
        with ProjectorProcess(settings, ["repositories"], bug) as successor:
            renamed = [RepositoryRenamed(repository_id=number, name="local/newest")]
            last = publisher.publish([event(one) for one in renamed])
            assert reader.wait_for("repositories", [*registration, *last], 60.0)
            paused.send(signal.SIGCONT)
            assert eventually(_written_again(settings, last[0]) if not fencing else _fenced(paused), 60.0)
            assert successor.stop() == 0
        paused.send(signal.SIGKILL)
        paused.wait()
    (found,) = verify(settings, ["repositories"])
    if fencing:
        assert found.outcome is Outcome.EQUAL, found
    else:
        assert found.outcome is Outcome.DIFFERENT


def _fenced(process: ProjectorProcess) -> Callable[[], bool]:
    return lambda: any(line.get("action") == "fenced" for line in process.lines)


def _written_again(settings: Settings, last: Position) -> Callable[[], bool]:
    """The checkpoint went back: somebody who should not have has written."""

    def done() -> bool:
        with connect(settings, Role.PROJECTOR) as connection:
            row = connection.execute(
                "select next_offset from repositories_g1.checkpoints where topic = %s and partition = %s",
                (last.topic, last.partition),
            ).fetchone()
        return row is not None and int(str(row[0])) <= last.offset

    return done


def test_a_topic_of_truth_that_was_cut_behind_the_checkpoint_stops_the_projection(
    settings: Settings, publisher: Publisher
) -> None:
    """The last test of this module: it leaves a cut log behind."""
    pass_(settings, REPOSITORIES, publisher.publish([event(one) for one in registered([1] * 5, "a")]))
    lost = publisher.publish([event(one) for one in registered([1] * 5, "lost")])
    publisher.publish([event(one) for one in registered([1], "left")])
    with KafkaAdmin(settings) as admin:
        admin.delete_records({(lost[0].topic, lost[0].partition): lost[-1].offset})
    with running(settings, REPOSITORIES) as runners:
        assert eventually(lambda: bool(runners.failures), 60.0)
    (failure,) = runners.failures
    assert isinstance(failure, LogTruncated)
    assert "retention" in failure.remedy
    assert state(settings, REPOSITORIES)[0] == "LOG_TRUNCATED"
