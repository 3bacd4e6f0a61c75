"""One insight over thousands of repositories: how many go through the whole system in a second?

    python -m bench.fanout [--repositories 10000] [--small 1000]

Small bare repositories are generated and registered with a stack of its own. Then one insight over ``--small`` of them and one
over all are created, and timed from ``insight.created`` appended to the last cell visible. Then all is stopped, and the engine alone
counts the same repositories in as many processes as the worker had handlers. Every count is asserted.
``overhead_ratio`` is engine over system; ``growth`` is the rate over all beside the rate over the small number. ``cpu_ms_per_repository`` (``small_…``: of the small number)
says who spends what on the way, which a busy machine blurs less than a rate (git's time is part of ``counting``).
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

from bench.running import FRAMES, UNIT, ask, cpu_s, is_counted, register, running, until
from bench.small_repositories import WORD, occurrences, small_repositories
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from projections.series_points import queries as series_points
from schemas.grid import Interval
from schemas.topics import Topic
from streams.hands import search_limits
from streams.recordings.counter import Counted, CountTask
from streams.recordings.pool import CountingPool
from streams.search.engine import CountQuery, CountRequest

_WAIT_S: Final = 1_800.0
_AGES_DAYS: Final = (365, 180, 7)


def measure(folder: Path, number: int, small: int) -> Mapping[str, object]:
    """The figures. Raises SystemExit when a count is not what was generated."""
    now = datetime.now(UTC)
    began_s = time.perf_counter()
    paths = small_repositories(folder / "repositories", number, now)
    generated_s = time.perf_counter() - began_s
    with ExitStack() as undo:
        settings = undo.enter_context(running(folder / "home"))
        publisher = undo.enter_context(Publisher(settings))
        database = make_engine(settings, Role.WORKER, pool_size=2, name="bench")
        undo.callback(database.dispose)
        reader = Reader(database)
        undo.callback(reader.close)
        admin = undo.enter_context(KafkaAdmin(settings))
        began_s = time.perf_counter()
        ids = list(register(paths, publisher, reader, wait_s=_WAIT_S))
        registered_s = time.perf_counter() - began_s
        _through_the_system(ids[:small], now, "warm up", publisher, reader, admin)
        spent = cpu_s()
        few_s = _through_the_system(ids[:small], now, "few", publisher, reader, admin)
        few_cpu = {name: now_s - spent[name] for name, now_s in cpu_s().items()}
        before, spent = _records(admin), cpu_s()
        all_s = _through_the_system(ids, now, "all", publisher, reader, admin)
        records = {topic: end - before[topic] for topic, end in _records(admin).items()}
        system_cpu = {name: now_s - spent[name] for name, now_s in cpu_s().items()}
    engine_s, engine_cpu_s = asyncio.run(_engine_alone(settings, paths, now))  # nothing runs beside it
    return {
        "repositories": number,
        "repositories_per_s": round(number / all_s, 1),
        "engine_alone_repositories_per_s": round(number / engine_s, 1),
        "overhead_ratio": round(engine_s / all_s, 2),
        "growth": round((number / all_s) / (small / few_s), 2),
        "small": small,
        "small_repositories_per_s": round(small / few_s, 1),
        "requests_per_repository": round(records[Topic.RECORDINGS] / number, 3),
        "events_per_repository": round(sum(records.values()) / number, 3),
        "registered_per_s": round(number / registered_s, 1),
        "cpu_ms_per_repository": {
            **{name: round(1000 * seconds / number, 1) for name, seconds in system_cpu.items()},
            "engine alone": round(1000 * engine_cpu_s / number, 1),
        },
        "small_cpu_ms_per_repository": {
            name: round(1000 * seconds / small, 1) for name, seconds in few_cpu.items()
        },
        "cpu_ratio": round(engine_cpu_s / sum(system_cpu.values()), 2),
        "generated_s": round(generated_s, 1),
    }


def _through_the_system(
    ids: Sequence[int], now: datetime, label: str, publisher: Publisher, reader: Reader, admin: KafkaAdmin
) -> float:
    """Seconds from ``insight.created`` on the log to the last cell visible; the counts are checked afterwards."""
    # The label makes the series another one: nothing of it was counted before.
    query = WORD if label == "all" else f"{WORD}.call" if label == "few" else f"= {WORD}"
    before = _end(admin, Topic.RESULTS)
    line = ask(query, ids, publisher, now)
    began_s = time.perf_counter()
    # How far a series is costs a look at each of its repositories: asked ten times a second, that would be a third of a core for the
    # larger one and nothing for the small one. How many results there are costs nothing.
    until(lambda: _end(admin, Topic.RESULTS) - before >= len(ids), f"results of {label}", _WAIT_S, poll_s=0.2)
    until(lambda: is_counted(reader, line), f"the cells of {label}", _WAIT_S, poll_s=0.05)
    took_s = time.perf_counter() - began_s
    _check(line.series_id, ids, now, reader)
    return took_s


def _check(series: str, ids: Sequence[int], now: datetime, reader: Reader) -> None:
    places = {number: place for place, number in enumerate(ids)}
    interval = Interval(UNIT)
    commits = {
        interval.instant(index): _commit_at(interval.instant(index), now)
        for index in interval.newest(FRAMES, now)
    }
    cells = 0
    with reader.snapshot(("series_points",)) as snapshot:
        for cell in series_points.per_repository(snapshot.connection, series):
            if cell.time not in commits:
                continue
            commit = commits[cell.time]
            wanted = 0 if commit is None else occurrences(places[cell.repository_id], commit)
            if int(cell.value or 0) != wanted:
                raise SystemExit(
                    f"repository {places[cell.repository_id]} at {cell.time}: {cell.value}, not {wanted}"
                )
            cells += 1
    if cells != len(ids) * FRAMES:
        raise SystemExit(f"{cells} cells are shown, not {len(ids) * FRAMES}")


def _commit_at(instant: datetime, now: datetime) -> int | None:
    """Which of the three generated commits a frame counts."""
    reached = [
        commit for commit, days in enumerate(_AGES_DAYS) if (now - instant).total_seconds() <= days * 86_400
    ]
    return reached[-1] if reached else None


async def _engine_alone(settings: Settings, paths: Sequence[Path], now: datetime) -> tuple[float, float]:
    """Seconds on the clock, and of CPU."""
    interval = Interval(UNIT)
    instants = tuple(interval.instant(index) for index in interval.newest(FRAMES, now))
    request = CountRequest(queries=(CountQuery(key="q", query=WORD, instants=instants),))
    pool = CountingPool(settings.worker_handlers, search_limits(settings))
    await pool.warm_up()
    spent_s = cpu_s()["counting"]
    began_s = time.perf_counter()
    replies = await asyncio.gather(*(pool.count(CountTask(str(path), None, request, None)) for path in paths))
    took_s, spent_s = time.perf_counter() - began_s, cpu_s()["counting"] - spent_s
    for place, reply in enumerate(replies):
        if not isinstance(reply, Counted):
            raise SystemExit(f"{paths[place]} was not counted: {reply.message}")
        wanted = _commit_at(instants[-1], now)
        if reply.result.cells["q"][-1].value != (0 if wanted is None else occurrences(place, wanted)):
            raise SystemExit(f"the engine counts {reply.result.cells['q'][-1].value} in {paths[place]}")
    return took_s, spent_s


def _records(admin: KafkaAdmin) -> dict[str, int]:
    """The ends of all topics, summed."""
    topics = (Topic.INSIGHTS, Topic.RECORDINGS, Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND, Topic.RESULTS)
    return {topic: _end(admin, topic) for topic in topics}


def _end(admin: KafkaAdmin, topic: Topic) -> int:
    """The ends of its partitions, summed."""
    return sum(marks.end for marks in admin.watermarks(topic).values())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits with 1 when a count differs."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.fanout", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--repositories", type=int, default=10_000, help="how many are generated")
    parser.add_argument("--small", type=int, default=1_000, help="how many the first, small insight is over")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        figures = measure(Path(folder), options.repositories, min(options.small, options.repositories))
    print(json.dumps({"bench": "fanout", "checked": True, "figures": dict(figures)}))


if __name__ == "__main__":
    main()
