"""The queue as the dispatcher reads it: groups and their first requests, whatever its length.

``MILLSTREAM_TEST_WAITING=2000000`` measures a queue of two millions; 100,000 otherwise.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import Connection, Engine, text

from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import RECORDINGS
from projections.generations import ensure_generation
from projections.reading import Reader
from projections.recordings import queries as recordings
from projections.recordings import waiting
from projections.recordings.statements import placed
from schemas.events import Lane
from tests.support.projecting import settings_for
from tests.unit.streams.events import request

MANY: Final = int(os.environ.get("MILLSTREAM_TEST_WAITING", "100000"))
CREATORS: Final = 3_000
_GENERATED: Final = """
insert into insights_query_runner_jobs
  (repository_id, request_id, insight_id, creator, lane, priority, cost, request, split, of, requested_at,
   requested_appended_at, requested_position)
select n %% 40000, 'r-' || n, 1000 + n %% (%(creators)s * 2), 'creator ' || n %% %(creators)s, 'backfill', 100, 12000,
       %(request)s, 1, 1, now(), now() + n * interval '1 microsecond', 'x'
from generate_series(1, %(many)s) n
"""


@pytest.fixture(scope="module")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(database, tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[Engine]:
    projector = make_engine(settings, Role.PROJECTOR, pool_size=1)
    schema = ensure_generation(projector, RECORDINGS).schema_name
    projector.dispose()
    with connect(settings, Role.PROJECTOR, autocommit=True) as connection:
        connection.execute(f'set search_path to "{schema}"'.encode())
        connection.execute(
            _GENERATED,
            {"many": MANY, "creators": CREATORS, "request": msgspec.json.encode(request(1))},
        )
        connection.execute("insert into insight_backfill_controls (insight_id, paused) values (1000, true)")
        connection.execute(
            "insert into insight_backfill_controls (insight_id, cancelled_at) values (1001, now() + interval '1 day')"
        )
        connection.execute("analyze insights_query_runner_jobs")
    engine = make_engine(settings, Role.WORKER, pool_size=1)
    yield engine
    engine.dispose()


@pytest.fixture
def read(worker: Engine) -> Iterator[Connection]:
    reader = Reader(worker)
    with reader.snapshot(("recordings",)) as snapshot:
        yield snapshot.connection
    reader.close()


def measured(what: str, ask: Callable[[], Any]) -> tuple[Any, float]:
    """The answer, and the best of three times in milliseconds, which it prints."""
    best_s = float("inf")
    for _ in range(3):
        began_s = time.perf_counter()
        found = ask()
        best_s = min(best_s, time.perf_counter() - began_s)
    sys.stdout.write(f"{what}: {best_s * 1000:.1f} ms with {MANY:,} waiting\n")
    return found, best_s * 1000


@pytest.mark.alone
def test_a_look_costs_what_it_takes_not_what_waits(read: Connection) -> None:
    groups, groups_ms = measured("groups", lambda: recordings.groups(read, Lane.BACKFILL))
    assert len(groups) == 2 * CREATORS
    assert groups_ms < 1_000
    chosen = [one for one in groups if not (one.is_paused or one.is_cancelled)][:64]
    found, candidates_ms = measured(
        "candidates", lambda: recordings.candidates(read, Lane.BACKFILL, chosen, 4, [(1, "r-1")], [7])
    )
    assert len(found) == 64 * 4
    assert candidates_ms < 200
    assert all(one.request.priority == 100 for one in found)
    nothing, nothing_ms = measured("another lane", lambda: recordings.groups(read, Lane.SCHEDULED))
    assert (nothing, nothing_ms < 50) == ([], True)


def test_the_waiting_index_answers(read: Connection) -> None:
    groups = recordings.groups(read, Lane.BACKFILL)
    for statement, parameters in (
        (waiting._GROUPS, {"lane": "backfill"}),
        (
            waiting._CANDIDATES,
            {
                "lane": "backfill",
                "creators": [one.creator for one in groups[:64]],
                "insights": [one.insight_id for one in groups[:64]],
                "per_group": 4,
                "hidden_repositories": [1],
                "hidden_requests": ["r-1"],
                "repositories": [7],
            },
        ),
    ):
        plan = "\n".join(
            row[0]
            for row in read.execute(text("explain (analyze, buffers) " + placed(read, statement)), parameters)
        )
        sys.stdout.write(plan + "\n")
        assert "insights_query_runner_jobs_waiting" in plan
        assert "Seq Scan on insights_query_runner_jobs" not in plan


def test_paused_and_cancelled_are_not_offered(read: Connection) -> None:
    groups = {one.insight_id: one for one in recordings.groups(read, Lane.BACKFILL)}
    assert groups[1000].is_paused
    assert groups[1001].is_cancelled
    chosen = [groups[1000], groups[1001], groups[1002]]
    offered = recordings.candidates(read, Lane.BACKFILL, chosen, 3)
    assert len(offered) == 3
    gone = recordings.cancelled(read, Lane.BACKFILL, chosen, 1_000)
    assert len(gone) == len(range(1, MANY + 1, 2 * CREATORS)), "all of the cancelled one, none of the others"
