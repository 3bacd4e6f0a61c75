"""Projector, broker and database die under load, again and again: nothing lost, nothing twice, verdicts identical.

One log and one database for all rounds; the checker looks at all of it after each kind of fault.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, REPOSITORIES, SERIES_POINTS
from projections.runner.faults import BUG_VARIABLE, FAULT_VARIABLE, MARKER_VARIABLE, STOP_VARIABLE, Bug, Point
from schemas.topics import Topic
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, moments
from tests.stack import StackUnderTest
from tests.support.checker import check, wait_until_projected
from tests.support.groups import forget_groups
from tests.support.load import Acknowledged, Load
from tests.support.projectors import ProjectorProcess, eventually, projector_running
from tests.support.servers import Servers

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]

BATCH = {"MILLSTREAM_PROJECTOR_BATCH_EVENTS": "200"}
BATCH_RECORDS = 40
RATE_PER_S = 150.0


@pytest.fixture(scope="module")
def settings(fresh: Callable[[], Settings]) -> Settings:
    return fresh()


@pytest.fixture(scope="module")
def servers(own_stack: StackUnderTest) -> Servers:
    return Servers(own_stack.home)


@pytest.fixture(scope="module")
def said() -> list[Acknowledged]:
    """Everything that the broker has acknowledged in this module."""
    return []


@contextmanager
def under_load(settings: Settings, said: list[Acknowledged]) -> Iterator[Load]:
    """A load while faults strike, with a history of its own."""
    with Load(settings, SEED * 1_000 + len(said) % 1_000, RATE_PER_S) as load:
        yield load
    said += load.acknowledged


def passed(settings: Settings) -> int:
    """Records that all projections have applied together; 0 while there are none."""
    with connect(settings, Role.PROJECTOR) as connection:
        schemas = connection.execute("select schema_name from runtime.generations").fetchall()
        return sum(
            int(row[0])
            for (schema,) in schemas
            for row in connection.execute(
                f'select coalesce(sum(next_offset), 0) from "{schema}".checkpoints'.encode()
            )
        )


def epochs(settings: Settings) -> dict[tuple[str, str, int], int]:
    """Who may write: the epoch by (generation, topic, partition)."""
    with connect(settings, Role.PROJECTOR) as connection:
        schemas = connection.execute("select schema_name from runtime.generations").fetchall()
        return {
            (schema, topic, partition): epoch
            for (schema,) in schemas
            for topic, partition, epoch in connection.execute(
                f'select topic, partition, epoch from "{schema}".checkpoints'.encode()
            )
        }


def moving(settings: Settings) -> None:
    """Wait until something is applied that was not before."""
    before = passed(settings)
    assert eventually(lambda: passed(settings) > before), "the projections do not move"


def whole(settings: Settings, said: list[Acknowledged]) -> list[str]:
    """What the checker finds once a projector has caught up and was stopped."""
    with projector_running(settings):
        late = wait_until_projected(settings)
    return late + check(settings, said)


def test_a_projector_killed_at_random(settings: Settings, said: list[Acknowledged]) -> None:
    with under_load(settings, said):
        for wait_s in moments(0.0, 1.0):
            with ProjectorProcess(settings, environ=BATCH) as process:
                moving(settings)
                time.sleep(wait_s)
                process.send(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL, "it was alive until then"
    assert whole(settings, said) == []


def test_the_broker_killed_at_random(settings: Settings, said: list[Acknowledged], servers: Servers) -> None:
    with under_load(settings, said) as load, projector_running(settings, environ=BATCH):
        for wait_s in moments(0.0, 1.0):
            moving(settings)
            time.sleep(wait_s)
            killed = servers.kill("kafka")
            assert servers.back("kafka", killed).pid != killed.pid
            assert load.grown_by(BATCH_RECORDS), "the log is written again"
    assert whole(settings, said) == []


def test_the_database_restarted(settings: Settings, said: list[Acknowledged], servers: Servers) -> None:
    with under_load(settings, said), projector_running(settings, environ=BATCH) as process:
        for number, wait_s in zip((signal.SIGKILL, signal.SIGINT), moments(0.0, 1.0), strict=False):
            moving(settings)
            time.sleep(wait_s)
            killed = servers.kill("postgres", number)
            servers.back("postgres", killed)
            moving(settings)
        assert any(line.get("action") in ("retrying", "write_retried") for line in process.lines), (
            "it felt it"
        )
    assert whole(settings, said) == []


def test_the_offsets_of_the_groups_deleted(settings: Settings, said: list[Acknowledged]) -> None:
    with under_load(settings, said):
        with projector_running(settings, environ=BATCH):
            moving(settings)
        assert forget_groups(settings, "millstream.projection.") >= len(PROJECTIONS)
    assert whole(settings, said) == []


def test_a_projector_paused_past_its_lease_with_a_batch_in_hand_is_fenced_when_it_wakes(
    settings: Settings, said: list[Acknowledged], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    pause = {
        STOP_VARIABLE: f"{SERIES_POINTS.name}:{Point.BEFORE_WRITE.value}:3",
        MARKER_VARIABLE: str(marker),
    }
    with under_load(settings, said), ProjectorProcess(settings, environ={**BATCH, **pause}) as first:
        assert eventually(marker.exists), "it stops with a batch that is not written"
        before = epochs(settings)
        with ProjectorProcess(settings, environ=BATCH) as second:
            assert eventually(
                lambda: all(epoch > before[place] for place, epoch in epochs(settings).items()), 90.0
            ), "its lease passes, and its successor takes every partition over"
            moving(settings)
            first.send(signal.SIGCONT)
            assert eventually(
                lambda: any(
                    line.get("action") == "fenced" and line.get("projection") == SERIES_POINTS.name
                    for line in first.lines
                )
            ), "the batch in its hand is refused"
            moving(settings)
            assert (first.stop(), second.stop()) == (0, 0)
    assert whole(settings, said) == []


def test_the_checker_sees_offsets_that_run_ahead_of_rows(
    fresh: Callable[[], Settings], said: list[Acknowledged], tmp_path: Path
) -> None:
    settings = fresh()
    fault = f"series_points:{Point.AFTER_WRITE_BEFORE_COMMIT.value}:3"
    marker = tmp_path / "marker"
    wrong = {BUG_VARIABLE: Bug.OFFSETS_FIRST.value, FAULT_VARIABLE: fault, MARKER_VARIABLE: str(marker)}
    with ProjectorProcess(settings, environ={**BATCH, **wrong}) as process:
        assert process.wait() == -signal.SIGKILL
    assert marker.read_text() == fault
    problems = whole(settings, said)
    assert any(" lost, such as" in problem or " wrong (key" in problem for problem in problems), problems
    assert any("is not what a clean replay gives: DIFFERENT" in problem for problem in problems), problems


def test_the_checker_sees_a_paused_projector_that_writes_on_where_nobody_is_fenced(
    fresh: Callable[[], Settings], said: list[Acknowledged], tmp_path: Path
) -> None:
    settings, marker = fresh(), tmp_path / "marker"
    wrong = {
        BUG_VARIABLE: Bug.NO_FENCING.value,
        STOP_VARIABLE: f"{REPOSITORIES.name}:{Point.BEFORE_WRITE.value}:2",
        MARKER_VARIABLE: str(marker),
    }
    only = [REPOSITORIES.name]
    with ProjectorProcess(settings, only, environ={**BATCH, **wrong}) as first:
        assert eventually(marker.exists), "it stops with a batch that is not written"
        with projector_running(settings, only, environ=BATCH):
            assert eventually(lambda: passed(settings) >= recorded(settings)), "its successor reads on"
        written = passed(settings)
        first.send(signal.SIGCONT)
        assert eventually(lambda: passed(settings) != written), "it wrote over what its successor had written"
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    problems = whole(settings, said)
    assert any(problem.startswith("repositories: ") for problem in problems), problems
    assert any("repositories is not what a clean replay gives: DIFFERENT" in problem for problem in problems)


def recorded(settings: Settings) -> int:
    """Records on the topic of repositories."""
    with KafkaAdmin(settings) as admin:
        return sum(marks.end for marks in admin.watermarks(Topic.REPOSITORIES).values())
