"""Whatever way partitions and topics are interleaved and cut, the real runner leaves the same rows and verdicts.

The history holds illegal, repeated, undecodable, unknown, old, late and contradictory records, and more days than a horizon.
Where a projection has a derive step, it runs in the middle of the log too, and the derived rows are compared with the others.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count

import msgspec
import pytest
from sqlalchemy import Engine

from infra.postgres.connect import connect
from infra.postgres.role import OWNER, Role
from infra.settings import Settings
from projections.catalogue import EVENT_INDEX, INSIGHTS, PROJECTIONS, REPOSITORIES, SETTINGS, UPLOADS
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Cursor, Projection, Write
from projections.verification.contents import contents
from projections.verification.replay import replay
from projections.verification.scratch import scratch_generation
from tests.support.histories import Log, ends, history
from tests.support.memory_log import reading_from

SHUFFLES = 50
SEED = 4
Rows = dict[str, list[tuple[object, ...]]]
Run = Callable[[int, int], Rows]
"""(seed, most records at a time) -> rows of every table."""


@pytest.fixture(scope="module")
def log() -> Log:
    return history(SEED)


class Runs:
    """Runs one projection over the log into a generation that is emptied before each run."""

    def __init__(self, settings: Settings, projection: Projection, generation: Generation, log: Log) -> None:
        self._settings = settings
        self._projection = projection
        self._generation = generation
        self._log = log

    def __call__(self, seed: int, most: int) -> Rows:
        one = self._projection
        topics = {topic.value for topic in one.topics}
        until = {place: end for place, end in ends(self._log).items() if place[0] in topics}
        wanted = contents(one, until, {})
        with connect(self._settings, Role.PROJECTOR) as connection:
            connection.execute(f"set local role {OWNER}".encode())
            for content in wanted:
                connection.execute(f'delete from "{self._generation.schema_name}"."{content.table}"'.encode())
        random_ = random.Random(seed)
        starts = dict.fromkeys(until, 0)
        stops = [until]
        if seed % 3 == 1 and one.derive is not None:  # what was derived in the middle changes nothing
            stops.insert(0, {place: random_.randrange(end + 1) for place, end in until.items()})
        with reading_from(self._log, seed, most=most):
            for stop in stops:
                replay(
                    self._settings.model_copy(update={"projector_batch_events": 2 * most}),
                    one,
                    self._generation,
                    stop,
                    starts,
                    deadline_s=float("inf"),
                    report=lambda done, of_all: None,
                )
                starts = stop
        with connect(self._settings, Role.PROJECTOR) as connection:
            return {
                content.table: connection.execute(
                    content.of(self._generation.schema_name).encode()
                ).fetchall()
                for content in wanted
            }


@pytest.fixture
def runs(settings: Settings, projector: Engine, log: Log) -> Iterator[Callable[[Projection], Runs]]:
    with ExitStack() as generations:

        def make(projection: Projection) -> Runs:
            place = generations.enter_context(scratch_generation(settings, projector, projection))
            return Runs(settings, projection, place, log)

        yield make


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
def test_fifty_interleavings_give_the_rows_and_verdicts_of_a_clean_replay(
    runs: Callable[[Projection], Runs], projection: Projection
) -> None:
    run = runs(projection)
    clean = run(0, 10_000)
    assert _worth_it(projection, clean) == []
    for seed in range(1, SHUFFLES + 1):
        most = random.Random(seed).choice((3, 20, 60, 300))
        found = run(seed, most)
        different = {name: _first(clean[name], rows) for name, rows in found.items() if rows != clean[name]}
        assert not different, f"history {SEED}, interleaving {seed}, at most {most} records at a time"


def _worth_it(projection: Projection, clean: Rows) -> list[str]:
    """Tables that stayed empty although the history has something for them."""
    own = {table.name for table in projection.metadata.sorted_tables}
    verdicts = {"verdicts"} if projection.owns else set()
    outcomes = {row[3] for row in clean["verdicts"]}
    if projection in (REPOSITORIES, INSIGHTS, UPLOADS):
        assert outcomes == {"ACCEPTED", "REJECTED", "DUPLICATE"}
    if projection is SETTINGS:
        assert outcomes == {"ACCEPTED", "DUPLICATE"}
    letters = set() if projection is EVENT_INDEX else {"dead_letters"}
    return sorted(name for name in own | verdicts | letters if not clean[name])


def _first(expected: list[tuple[object, ...]], found: list[tuple[object, ...]]) -> object:
    missing = [row for row in expected if row not in found]
    extra = [row for row in found if row not in expected]
    return missing[:2], extra[:2]


def test_the_horizon_has_removed_rows_and_left_others(runs: Callable[[Projection], Runs], log: Log) -> None:
    rows = runs(EVENT_INDEX)(1, 40)["events"]
    kept = {(row[3], row[1], row[2]) for row in rows}
    enveloped = {(one.topic, one.partition, one.offset) for records in log.values() for one in records}
    assert kept < enveloped
    for (topic, number), records in log.items():
        newest_ms = max((one.timestamp_ms for one in records), default=0)
        offsets = {offset for name, partition, offset in kept if (name, partition) == (topic, number)}
        old = {one.offset for one in records if one.timestamp_ms < newest_ms - 31 * 86_400_000}
        assert not offsets & old
    assert len(kept) > 100


def test_a_fold_that_looks_across_partitions_is_caught(runs: Callable[[Projection], Runs]) -> None:
    """The harness sees what it is there for: a fold whose rows depend on the order between partitions."""
    seen = count()

    def prepare(events: Sequence[Folding]) -> Write:
        write = REPOSITORIES.prepare(events)
        touched = {one.event.key for one in events if one.event.key.isdigit()}
        order = [(next(seen), int(key)) for key in sorted(touched)]

        def written(cursor: Cursor) -> int:
            rows = write(cursor)
            for number, key in order:
                cursor.execute("update repo_names set clone_error = %s where id = %s", (str(number), key))
            return rows

        return written

    run = runs(msgspec.structs.replace(REPOSITORIES, prepare=prepare))
    clean = run(0, 10_000)
    found = run(1, 20)
    assert found["repo_names"] != clean["repo_names"]
    assert found["verdicts"] == clean["verdicts"]


def test_a_fold_that_sees_what_the_guard_refused_is_caught(
    runs: Callable[[Projection], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = runs(REPOSITORIES)(0, 10_000)
    monkeypatch.setattr("projections.runner.guards.Decisions.refused", property(lambda self: set()))
    found = runs(REPOSITORIES)(0, 10_000)
    assert found["verdicts"] == clean["verdicts"]
    assert found["repo_names"] != clean["repo_names"]
