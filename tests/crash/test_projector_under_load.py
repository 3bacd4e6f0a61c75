"""Projector, broker and database die under load, again and again: nothing lost, nothing twice, verdicts identical.

One log and one database for all rounds; the checker looks at all of it after each kind of fault.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import Settings
from projections.catalogue import PROJECTIONS, REPOSITORIES, SERIES_POINTS
from projections.runner.faults import BUG_VARIABLE, FAULT_VARIABLE, MARKER_VARIABLE, STOP_VARIABLE, Bug, Point
from tests.crash.loads import BATCH, BATCH_RECORDS, epochs, moving, passed, recorded, under_load, whole
from tests.crash.rounds import ROUNDS, SOAK_S, moments
from tests.stack import StackUnderTest
from tests.support.groups import forget_groups
from tests.support.load import Acknowledged
from tests.support.projectors import ProjectorProcess, eventually, projector_running
from tests.support.servers import Servers

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]


@pytest.fixture(scope="module")
def servers_of(own_stack: StackUnderTest) -> StackUnderTest:
    return own_stack


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
        assert eventually(marker.exists, 180.0), "it stops with a batch that is not written"
        first.send(signal.SIGSTOP)  # and all of it with that one
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
    with ProjectorProcess(settings, [SERIES_POINTS.name], environ={**BATCH, **wrong}) as process:
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
        assert eventually(marker.exists, 180.0), "it stops with a batch that is not written"
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
