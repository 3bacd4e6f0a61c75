"""The database ends sessions, again and again, and keeps a table locked: the projections wait, say so, and go on by themselves."""

import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import SERIES_POINTS
from projections.lag.append_times import AppendTimes
from projections.lag.model import Kind
from projections.lag.observe import Observer
from projections.lag.report import Windows, report
from projections.lag.states import PROJECTION_POLICY, Policy, State
from projections.runner.faults import BUG_VARIABLE, Bug
from tests.crash.loads import BATCH, ended_sessions, locked, moving, under_load, waiting_for_locks, whole
from tests.crash.rounds import ROUNDS, SOAK_S, grown, moments
from tests.support.load import Acknowledged
from tests.support.projectors import ProjectorProcess, eventually, projector_running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]

LOCKED_S = grown(8.0, 65.0)
LOOK_S = 0.5
POLICY = (
    PROJECTION_POLICY
    if PROJECTION_POLICY.stall_after_s < LOCKED_S
    else Policy(window_s=10.0, stall_after_s=5.0, stop_after_s=5.0, interval_s=LOOK_S)
)
"""In a soak the product's own; else the same rule on a shorter window: eight seconds have to do in the place of a minute."""


@pytest.fixture(scope="module")
def settings(fresh: Callable[[], Settings]) -> Settings:
    return fresh()


@pytest.fixture(scope="module")
def said() -> list[Acknowledged]:
    return []


@pytest.fixture
def admin_engine(settings: Settings) -> Iterator[Engine]:
    found = make_engine(settings, Role.PROJECTOR, pool_size=2)
    yield found
    found.dispose()


def watermark_goes_forward(settings: Settings, before: dict[tuple[str, str, int], int]) -> None:
    """No checkpoint is behind one that was seen earlier."""
    now = checkpoints(settings)
    assert all(now[place] >= offset for place, offset in before.items()), "a watermark moved back"
    before |= now


def checkpoints(settings: Settings) -> dict[tuple[str, str, int], int]:
    with connect(settings, Role.PROJECTOR) as connection:
        schemas = connection.execute("select schema_name from runtime.generations").fetchall()
        return {
            (schema, topic, partition): offset
            for (schema,) in schemas
            for topic, partition, offset in connection.execute(
                f'select topic, partition, next_offset from "{schema}".checkpoints'.encode()
            )
        }


def test_sessions_are_ended_at_random(settings: Settings, said: list[Acknowledged]) -> None:
    seen: dict[tuple[str, str, int], int] = {}
    with under_load(settings, said), projector_running(settings, environ=BATCH) as process:
        for wait_s in moments(0.0, 1.0):
            moving(settings)
            time.sleep(wait_s)
            assert ended_sessions(settings) > 0
            watermark_goes_forward(settings, seen)
        moving(settings)
        felt = [line for line in process.lines if line.get("action") in ("retrying", "write_retried")]
        assert felt, "it felt it"
        assert not [line for line in process.lines if line.get("action") == "projector_dies"]
    assert whole(settings, said) == []


class Watch:
    """The state of the points' projection as the lag's own code tells it."""

    def __init__(self, settings: Settings, database: Engine, admin: KafkaAdmin, times: AppendTimes) -> None:
        self._engine = database
        self._observer = Observer(admin, times)
        self._windows = Windows(dict.fromkeys(Kind, POLICY))
        self.states: list[tuple[State, str]] = []

    def look(self) -> State:
        time.sleep(LOOK_S)
        began_s = time.monotonic()
        with self._engine.connect() as connection:
            observed = self._observer.look(connection)
        self._windows.add(observed)
        found = report(observed, self._windows, by="test", took_s=time.monotonic() - began_s)
        (one,) = [group for group in found.groups if group.name == SERIES_POINTS.name]
        self.states.append((one.state, one.reason))
        return one.state


def test_a_lock_is_held_and_let_go(
    settings: Settings, said: list[Acknowledged], admin_engine: Engine
) -> None:
    with (
        KafkaAdmin(settings) as admin,
        AppendTimes(settings) as times,
        under_load(settings, said),
        projector_running(settings, environ=BATCH) as process,
    ):
        moving(settings)
        watch = Watch(settings, admin_engine, admin, times)
        assert eventually(lambda: watch.look() is State.OK), watch.states[-3:]
        with locked(settings):
            until_s = time.monotonic() + LOCKED_S
            assert eventually(lambda: waiting_for_locks(settings) > 0), "somebody waits for the lock"
            assert eventually(lambda: watch.look() is State.STALL, LOCKED_S + 30.0), watch.states[-3:]
            while time.monotonic() < until_s:
                watch.look()
            assert watch.look() is State.STALL, watch.states[-3:]
        assert eventually(lambda: watch.look() is State.OK, 90.0), watch.states[-3:]
        assert not [line for line in process.lines if line.get("action") == "projector_dies"]
    assert whole(settings, said) == []


def test_the_checker_sees_a_batch_that_is_lost_with_its_session(
    fresh: Callable[[], Settings], said: list[Acknowledged]
) -> None:
    settings = fresh()
    wrong = BATCH | {BUG_VARIABLE: Bug.OFFSETS_FIRST.value}
    with under_load(settings, said), ProjectorProcess(settings, [SERIES_POINTS.name], wrong) as process:
        moving(settings)
        with locked(settings):
            assert eventually(lambda: waiting_for_locks(settings) > 0), "a batch waits, its offsets do not"
            assert ended_sessions(settings) > 0
        moving(settings)
        assert process.stop() == 0
    problems = whole(settings, said)
    assert any(problem.startswith("points: ") for problem in problems), problems
    assert any("series_points is not what a clean replay gives: DIFFERENT" in one for one in problems)
