"""How much of a backfill's time is counting? The engine alone beside the whole system, with the same handlers.

    python -m bench.system_share [REPO ...] [--rounds N]

A stack of its own is started with one projector and one worker. Each round creates an insight over all repositories
with a query that was not asked before, and takes the time from ``insight.created`` appended to the last cell visible
in the projection. Beside it, in turns, the same counts are made by the engine alone, in as many processes as the
worker has handlers. Counts are asserted equal. ``system_share`` is the ratio of the sums, engine over system.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.running import FRAMES, UNIT, ask, is_counted, register, running, until
from bench.sample import sample_repository
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from projections.series_points import queries as series_points
from schemas.grid import Interval
from streams.hands import search_limits
from streams.recordings.counter import Counted, CountTask
from streams.recordings.pool import CountingPool
from streams.search.engine import CountQuery, CountRequest

SAMPLES: Final = 12
QUERIES: Final = ("return", "import", "class", "self", "assert", "TODO", "except", "yield")

Values = dict[int, list[int]]
"""Counts by repository, ascending in time."""


def measure(repositories: Sequence[Path], rounds: int = 4) -> Mapping[str, float]:
    """``system_share`` and what it is made of (seconds, sums over the rounds). Raises SystemExit when counts differ."""
    with ExitStack() as undo:
        home = undo.enter_context(tempfile.TemporaryDirectory(prefix="millstream-bench-"))
        settings = undo.enter_context(running(Path(home)))
        publisher = undo.enter_context(Publisher(settings))
        database = make_engine(settings, Role.WORKER, pool_size=2, name="bench")
        undo.callback(database.dispose)
        reader = Reader(database)
        undo.callback(reader.close)
        ids = register(repositories, publisher, reader)
        times = asyncio.run(_rounds(settings, ids, publisher, reader, rounds))
    engine_s, system_s = (sum(column) for column in zip(*times, strict=True))
    return {
        "system_share": round(engine_s / system_s, 2),
        "system_engine_alone_s": round(engine_s, 3),
        "system_whole_s": round(system_s, 3),
        "system_overhead_per_backfill_s": round((system_s - engine_s) / rounds, 3),
    }


async def _rounds(
    settings: Settings, ids: Mapping[int, Path], publisher: Publisher, reader: Reader, rounds: int
) -> list[tuple[float, float]]:
    """(engine, system) seconds of each round, after one that counts for nothing."""
    pool = CountingPool(settings.worker_handlers, search_limits(settings))
    await pool.warm_up()
    times = []
    for number, query in enumerate(QUERIES[: rounds + 1]):
        # Who comes second finds the files in memory: by turns.
        if number % 2:
            projected, system_s = await asyncio.to_thread(_whole_system, ids, publisher, reader, query)
            counted, engine_s = await _engine_alone(pool, ids, query)
        else:
            counted, engine_s = await _engine_alone(pool, ids, query)
            projected, system_s = await asyncio.to_thread(_whole_system, ids, publisher, reader, query)
        if counted != projected:
            raise SystemExit(
                f"the counts of {query!r} differ: {counted} by the engine, {projected} by the system"
            )
        times.append((engine_s, system_s))
    return times[1:]


async def _engine_alone(pool: CountingPool, ids: Mapping[int, Path], query: str) -> tuple[Values, float]:
    interval = Interval(UNIT)
    instants = tuple(interval.instant(index) for index in interval.newest(FRAMES, datetime.now(UTC)))
    request = CountRequest(queries=(CountQuery(key="q", query=query, instants=instants),))
    started = time.perf_counter()
    replies = await asyncio.gather(
        *(pool.count(CountTask(str(path), None, request, None)) for path in ids.values())
    )
    engine_s = time.perf_counter() - started
    values: Values = {}
    for number, reply in zip(ids, replies, strict=True):
        if not isinstance(reply, Counted):
            raise SystemExit(f"{ids[number]} was not counted: {reply.message}")
        values[number] = [cell.value for cell in reply.result.cells["q"]]
    return values, engine_s


def _whole_system(
    ids: Mapping[int, Path], publisher: Publisher, reader: Reader, query: str
) -> tuple[Values, float]:
    line = ask(query, list(ids), publisher)
    started = time.perf_counter()
    until(lambda: is_counted(reader, line), f"the cells of {query!r}")
    system_s = time.perf_counter() - started
    values: Values = {number: [] for number in ids}
    with reader.snapshot(("series_points",)) as snapshot:
        for cell in series_points.per_repository(snapshot.connection, line.series_id):
            values[cell.repository_id].append(int(cell.value or 0))
    return values, system_s


def samples(folder: Path) -> list[Path]:
    """Generated repositories, each read anew."""
    return [sample_repository(folder / f"sample{number}") for number in range(SAMPLES)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits with 1 when a count differs."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.system_share", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument(
        "repositories",
        nargs="*",
        type=Path,
        metavar="REPO",
        help=f"default: {SAMPLES} copies of a generated one",
    )
    parser.add_argument(
        "--rounds", type=int, default=4, choices=range(1, len(QUERIES)), help="backfills measured"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = [path.absolute() for path in options.repositories]
        repositories = chosen or samples(Path(scratch))
        figures = measure(repositories, options.rounds)
    print(json.dumps({"bench": "system_share", "checked": True, "figures": dict(figures)}))


if __name__ == "__main__":
    main()
