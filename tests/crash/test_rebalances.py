"""A storm of rebalances: consumers come and go every two seconds while a load is on; every event is applied once, in order."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import RECORDINGS, REPOSITORIES, SERIES_POINTS
from projections.reading import Reader
from projections.runner.faults import BUG_VARIABLE, FAULT_VARIABLE, MARKER_VARIABLE, STOP_VARIABLE, Bug, Point
from schemas.codec import new_event
from schemas.events import RepositoryPushed
from tests.crash.loads import BATCH, epochs, moving, passed, recorded, under_load, whole
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, grown
from tests.support.history import REPOSITORIES as KNOWN
from tests.support.load import Acknowledged
from tests.support.projecting import T0
from tests.support.projectors import ProjectorProcess, eventually
from tests.support.running import running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]

EVERY_S = 2.0
STORM_S = grown(20.0, 300.0)
CALM_S = 30.0
STORMY = (SERIES_POINTS, REPOSITORIES, RECORDINGS)
MOST_AT_ONCE = 3
FOR_BATCHES = 800
SMALL_BATCH = {"MILLSTREAM_PROJECTOR_BATCH_EVENTS": "40"}


@pytest.fixture(scope="module")
def settings(fresh: Callable[[], Settings]) -> Settings:
    return fresh()


@pytest.fixture(scope="module")
def said() -> list[Acknowledged]:
    return []


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    database = make_engine(settings, Role.APP, pool_size=2)
    found = Reader(database)
    yield found
    found.close()
    database.dispose()


def storm(settings: Settings, lasts_s: float) -> int:
    """Consumers of three projections join and leave; how often one did. The moments are even, who goes is drawn."""
    print(f"MILLSTREAM_TEST_SEED={SEED} storm of {lasts_s:g} s")  # noqa: T201 - shown when the test fails
    chance = random.Random(SEED)
    members: list[ExitStack] = []
    changes = 0
    until_s = time.monotonic() + lasts_s
    try:
        while time.monotonic() < until_s:
            next_s = time.monotonic() + EVERY_S
            if members and (len(members) == MOST_AT_ONCE or chance.random() < 0.5):
                members.pop(chance.randrange(len(members))).close()
            else:
                member = ExitStack()
                found = member.enter_context(running(settings, *STORMY))
                member.callback(lambda found=found: expect_none(found.failures))  # type: ignore[misc]
                members.append(member)
            changes += 1
            time.sleep(max(0.0, next_s - time.monotonic()))
    finally:
        for member in members:
            member.close()
    return changes


def expect_none(failures: list[BaseException]) -> None:
    assert failures == []


def taken_over(settings: Settings) -> int:
    """How often a partition of a stormy projection was taken over."""
    names = tuple(f"{one.name}_g" for one in STORMY)
    return sum(epoch for (schema, _, _), epoch in epochs(settings).items() if schema.startswith(names))


def test_consumers_come_and_go(settings: Settings, said: list[Acknowledged], reader: Reader) -> None:
    with under_load(settings, said), ProjectorProcess(settings, environ=BATCH) as process:
        moving(settings)
        before = taken_over(settings)
        changes = storm(settings, STORM_S)
        assert changes >= 0.5 * STORM_S / EVERY_S
        assert taken_over(settings) - before >= changes, "partitions changed hands at every change"
        assert eventually(lambda: lag_s(settings, reader) < 1.0, CALM_S), "the lag is below a second again"
        assert process.stop() == 0
    assert whole(settings, said) == []


def lag_s(settings: Settings, reader: Reader) -> float:
    """How long an event that is published now takes until the projection of repositories has applied it."""
    pushed = RepositoryPushed(repository_id=KNOWN[0], default_branch="main", tip="f" * 40)
    with Publisher(settings) as publisher:
        began_s = time.monotonic()
        positions = publisher.publish([new_event(pushed, source="//tests/storm", time=T0)])
        assert reader.wait_for(REPOSITORIES.name, positions, CALM_S)
    return time.monotonic() - began_s


def test_the_checker_sees_a_storm_in_which_nobody_is_fenced(
    fresh: Callable[[], Settings], said: list[Acknowledged], tmp_path: Path
) -> None:
    settings, marker = fresh(), tmp_path / "marker"
    wrong = {
        BUG_VARIABLE: Bug.NO_FENCING.value,
        STOP_VARIABLE: f"{REPOSITORIES.name}:{Point.BEFORE_WRITE.value}:2",
        # Right behind its late write: what it read again from there on would hide it.
        FAULT_VARIABLE: f"{REPOSITORIES.name}:{Point.AFTER_COMMIT_BEFORE_KAFKA_COMMIT.value}:2",
        MARKER_VARIABLE: str(marker),
    }
    with under_load(settings, said) as load:
        assert load.grown_by(FOR_BATCHES)
    with ProjectorProcess(settings, [REPOSITORIES.name], environ={**SMALL_BATCH, **wrong}) as first:
        assert eventually(marker.exists, 180.0), "it stops with a batch that is not written"
        with running(settings, REPOSITORIES):
            assert eventually(lambda: passed(settings) >= recorded(settings), 180.0), "others read on"
        written = passed(settings)
        first.send(signal.SIGCONT)
        assert first.wait() == -signal.SIGKILL
    assert passed(settings) != written, "it wrote over what others had written"
    problems = whole(settings, said)
    assert any(problem.startswith("repositories: ") for problem in problems), problems
