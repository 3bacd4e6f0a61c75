"""A tenth of the events twice, a tenth late, all of it shuffled across keys: one state, which is that of a clean replay.

The rule for what is late: inside a partition the log's own order counts, so a late event of a guarded topic is judged where
it lies; a count of a lower rank that comes late changes nothing; a repeat changes nothing, wherever it comes.
"""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import pytest

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import REPOSITORIES, projection
from projections.reading import Reader
from schemas.envelope import Event
from tests.crash.loads import BATCH, whole
from tests.crash.rounds import ROUNDS, SEED, SOAK_S, grown
from tests.support.checker import check, wait_until_projected
from tests.support.environ import program_environ
from tests.support.history import history
from tests.support.load import Acknowledged
from tests.support.projectors import projector_running

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + SOAK_S * ROUNDS)]

EVENTS = int(grown(4_000, 50_000))
ROOT = Path(__file__).parents[2]
LATE = 500
"""By how many places at most."""


def disordered(seed: int, number: int) -> tuple[list[Event], int, int]:
    """A history with repeats and latecomers, keys mixed; and how many of each."""
    print(f"MILLSTREAM_TEST_SEED={SEED} events={number}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    told = [one for one in islice(history(seed), number) if isinstance(one, Event)]
    placed: list[tuple[float, Event]] = []
    twice = late = 0
    for place, one in enumerate(told):
        at = float(place)
        if chance.random() < 0.1:
            late += 1
            at += chance.uniform(1, LATE)
        placed.append((at + chance.uniform(0, 20), one))
        if chance.random() < 0.1:
            twice += 1
            placed.append((at + chance.uniform(0, LATE), one))
    placed.sort(key=lambda pair: pair[0])
    return [one for _, one in placed], twice, late


@pytest.fixture(scope="module")
def said(fresh: Callable[[], Settings]) -> list[Acknowledged]:
    """What is on the log, with proof that it is in disorder."""
    events, twice, late = disordered(SEED, EVENTS)
    assert min(twice, late) > 0.05 * EVENTS
    repeats = Counter((one.source, one.id) for one in events)
    assert sum(number > 1 for number in repeats.values()) > 0.05 * EVENTS, "there are repeats"
    times = [one.time for one in events]
    assert sum(after < before for before, after in pairwise(times)) > 0.05 * EVENTS
    found: list[Acknowledged] = []
    with Publisher(fresh()) as publisher:
        for start in range(0, len(events), 1_000):
            batch = events[start : start + 1_000]
            positions = publisher.publish(batch)
            found += [Acknowledged(one, position) for one, position in zip(batch, positions, strict=True)]
    return found


def test_disorder_comes_to_the_state_of_the_log(
    fresh: Callable[[], Settings], said: list[Acknowledged]
) -> None:
    settings = fresh()
    with projector_running(settings, environ=BATCH):
        late = wait_until_projected(settings)
    assert late + check(settings, said) == []


REPEATS_COUNT_AGAIN = """
import sys
from infra.settings import load_settings
from projections.process import run
from schemas.legality import RULES
for topic, decide in list(RULES.items()):
    RULES[topic] = lambda state, event, accepted, decide=decide: decide(state, event, {})
sys.exit(run(load_settings(), ["repositories"]))
"""
"""A projector whose guard knows no accepted ids: a repeat is judged as if it were new."""


def test_the_checker_sees_repeats_that_count_again(
    fresh: Callable[[], Settings], said: list[Acknowledged]
) -> None:
    settings = fresh()
    environ = program_environ(settings, BATCH | {"MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": "6000"})
    with subprocess.Popen([sys.executable, "-c", REPEATS_COUNT_AGAIN], cwd=ROOT, env=environ) as wrong:
        try:
            assert passed_the_ends(settings, REPOSITORIES.name)
        finally:
            wrong.send_signal(signal.SIGTERM)
            assert wrong.wait(20) == 0
    problems = whole(settings, said)
    assert any(problem.startswith("verdicts: ") for problem in problems), problems
    assert any("repositories is not what a clean replay gives: DIFFERENT" in problem for problem in problems)


def passed_the_ends(settings: Settings, name: str) -> bool:
    """Wait until this projection has read all there is."""
    with KafkaAdmin(settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in projection(name).topics
            for number, marks in admin.watermarks(topic).items()
        }
    database = make_engine(settings, Role.APP, pool_size=2)
    reader = Reader(database)
    try:
        return reader.wait_until(name, ends, 90.0)
    finally:
        reader.close()
        database.dispose()
