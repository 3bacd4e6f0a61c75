"""SIGTERM under load: every process ends within ten seconds, nothing in flight is lost, and at most a batch is done again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from infra.kafka.admin import KafkaAdmin, Partition
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.runner.faults import BUG_VARIABLE, Bug
from tests.crash.loads import (
    BATCH,
    ended_sessions,
    locked,
    moving,
    under_load,
    waiting_for_locks,
    whole,
)
from tests.crash.rounds import ROUNDS, SOAK_S, grown, moments
from tests.support.environ import program_environ
from tests.support.load import Acknowledged
from tests.support.projectors import ProjectorProcess, eventually

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400 + SOAK_S * ROUNDS)]

ROOT = Path(__file__).parents[2]
TIMES = int(grown(5, 20))
WITHIN_S = 10.0
BATCH_EVENTS = int(BATCH["MILLSTREAM_PROJECTOR_BATCH_EVENTS"])


@pytest.fixture(scope="module")
def settings(fresh: Callable[[], Settings]) -> Settings:
    return fresh()


def read_again(applied: Mapping[Partition, int], committed: Mapping[Partition, int]) -> int:
    """Records that were applied and would be read again; fails where the group is ahead of the rows: these would be lost."""
    ahead = {
        place: (offset, applied.get(place, 0))
        for place, offset in committed.items()
        if offset > applied.get(place, 0)
    }
    assert not ahead, f"(committed, applied) by partition: {ahead}"
    return sum(offset - committed.get(place, 0) for place, offset in applied.items())


def behind(settings: Settings) -> dict[str, int]:
    """By projection: records that its live generation has applied and that its group would read again."""
    with KafkaAdmin(settings) as admin, connect(settings, Role.PROJECTOR) as connection:
        live = connection.execute(
            "select projection, live_generation, schema_name from runtime.generations"
        ).fetchall()
        assert {name for name, _, _ in live} == {one.name for one in PROJECTIONS}
        found: dict[str, int] = {}
        for name, number, schema in live:
            rows = connection.execute(
                f'select topic, partition, next_offset from "{schema}".checkpoints'.encode()
            ).fetchall()
            found[name] = read_again(
                {(topic, partition): offset for topic, partition, offset in rows},
                admin.group_offsets(f"millstream.projection.{name}.g{number}"),
            )
        return found


def test_the_checker_sees_one_partition_ahead_of_its_rows_beside_one_that_is_far_behind() -> None:
    assert read_again({("t", 0): 50, ("t", 1): 7}, {("t", 0): 20}) == 37
    with pytest.raises(AssertionError, match="committed, applied"):
        read_again({("t", 0): 50, ("t", 1): 7}, {("t", 0): 20, ("t", 1): 8})
    with pytest.raises(AssertionError, match="committed, applied"):
        read_again({("t", 0): 50}, {("t", 0): 20, ("t", 1): 1})


def test_projectors_told_to_end_under_load(settings: Settings) -> None:
    said: list[Acknowledged] = []
    took_s: list[float] = []
    with under_load(settings, said) as load:
        for wait_s in moments(0.0, 1.0, TIMES):
            with ProjectorProcess(settings, environ=BATCH) as process:
                moving(settings)
                time.sleep(wait_s)
                before = len(load.acknowledged)
                began_s = time.monotonic()
                assert process.stop() == 0
                took_s.append(time.monotonic() - began_s)
            assert load.grown_by(1), "the load was on"
            assert len(load.acknowledged) > before
            again = behind(settings)
            assert all(records <= BATCH_EVENTS for records in again.values()), again
    assert max(took_s) < WITHIN_S, took_s
    assert whole(settings, said) == []


ENDS_AT_ONCE = """
import sys
from infra.settings import load_settings
from projections import process
process._stop_on_signals = lambda stop: None
sys.exit(process.run(load_settings(), ["series_points"]))
"""
"""A projector that SIGTERM ends at once."""


def test_the_checker_sees_a_projector_that_ends_at_once_with_its_offsets_ahead(
    fresh: Callable[[], Settings],
) -> None:
    settings, said = fresh(), list[Acknowledged]()
    more = {BUG_VARIABLE: Bug.OFFSETS_FIRST.value, "MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": "6000"}
    environ = program_environ(settings, BATCH | more)
    with (
        under_load(settings, said),
        subprocess.Popen([sys.executable, "-c", ENDS_AT_ONCE], cwd=ROOT, env=environ) as process,
    ):
        try:
            moving(settings)
            with locked(settings):
                assert eventually(lambda: waiting_for_locks(settings) > 0), (
                    "a batch waits, its offsets do not"
                )
                process.send_signal(signal.SIGTERM)
                assert process.wait(WITHIN_S) == -signal.SIGTERM
                ended_sessions(settings)  # the server would let the statement go on that nobody waits for
        finally:
            process.kill()
    problems = whole(settings, said)
    assert any(problem.startswith("points: ") for problem in problems), problems
    assert any("series_points is not what a clean replay gives: DIFFERENT" in one for one in problems)
