"""How fast is every projection rebuilt from the log? And series_points, beside a raw COPY of the same rows and the same index build.

    python -m bench.rebuild [--results 160000] [--rounds 2] [--only NAME ...]

A stack of its own. On its log lie ``--results`` results of twelve points and, around them, what the product says on all the other
topics. Each projection is rebuilt as an operator rebuilds it: ordered, and done by ``run_rebuild`` up to a time, into a generation beside
the live one, its indexes and the planner's statistics included. By one worker (the product's default: a thread of this process) and by two
(processes), and once up to the moment at which a sixteenth of the log was there.

* ``rows_ratio``: the time of a raw ``COPY`` of series_points' rows (all tables, binary, in the order in which they were written, one
  transaction, tables without an index) and of building the same primary keys behind it, over the time of the rebuild by one worker;
  ``rows_ratio_2_workers`` by two. Medians of turns.
* ``events_per_s_NAME``; ``events_per_core_s_NAME``: events per second of CPU, of ours and of the database's server together.
* ``growth``: CPU per event over the whole log beside that over its first sixteenth, what a rebuild of nothing costs taken off both; the
  worst of the projections that read at least ``--least`` events of the sixteenth. ``growth_NAME`` is each one's.

Checked: row counts and checksums of the copied tables and of the rebuilt ones are equal, and so are, row for row, the generations of one
and of two workers. The defaults take some five minutes on two quiet cores.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import psycopg
import structlog
from pydantic import SecretStr
from sqlalchemy import Engine

from bench.whole_log import POINTS, log_of
from infra.embedded.stack import start
from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS, SERIES_POINTS
from projections.projection import Projection
from projections.rebuild import control
from projections.rebuild.control import Rebuild, RebuildState
from projections.rebuild.execution import run_rebuild
from schemas.codec import encode
from schemas.topics import Topic

SHARE: Final = 16
_CHUNK: Final = 20_000
_COPY_BYTES: Final = 1 << 20
_TICKS: Final = os.sysconf("SC_CLK_TCK")
Connection = psycopg.Connection[Any]


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """One rebuild. ``cpu_s`` of this process and its children, and of the database's server."""

    events: int
    wall_s: float
    cpu_s: float
    generation: int
    schema: str


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Times on the broker's clock: before the first record, behind a sixteenth, behind all."""

    nothing: datetime
    share: datetime
    whole: datetime


class Bench:
    """A stack with its log, and what is done with it."""

    def __init__(self, settings: Settings, engine: Engine, postgres_pid: int, folder: Path) -> None:
        self._settings = settings
        self._engine = engine
        self._postgres_pid = postgres_pid
        self._folder = folder
        self.connection: Connection = connect(settings, Role.ADMIN, autocommit=True, name="bench")
        self.connection.execute("set statement_timeout = 0")

    def publish(self, results: int) -> Moments:
        """Put the log there."""
        with KafkaAdmin(self._settings) as admin:
            partitions = len(admin.watermarks(Topic.RESULTS))
        records = ((topic.value, *encode(event)) for topic, event in log_of(results, partitions))
        of_share = sum(1 for _ in log_of(results // SHARE, partitions))
        with Publisher(self._settings) as publisher:
            nothing = _now()
            while chunk := list(islice(records, min(_CHUNK, of_share))):
                publisher.publish_all(chunk)
                of_share -= len(chunk)
                if of_share <= 0:
                    break
            share = _now()
            while chunk := list(islice(records, _CHUNK)):
                publisher.publish_all(chunk)
            return Moments(nothing=nothing, share=share, whole=_now())

    def rebuild(self, one: Projection, until: datetime, workers: int = 1) -> Spent:
        """Fill a generation up to ``until``. Raises SystemExit when that fails."""
        self.connection.execute("checkpoint")
        before_s, began_s = self._cpu_s(), time.perf_counter()
        ordered = control.order(self._engine, one.name, until=until, workers=workers, ordered_by="bench")
        done = run_rebuild(self._settings, ordered.id, threading.Event())
        wall_s = time.perf_counter() - began_s
        cpu_s = self._cpu_s() - before_s
        _require_done(done)
        return Spent(
            events=done.events,
            wall_s=wall_s,
            cpu_s=cpu_s,
            generation=done.generation,
            schema=done.schema_name,
        )

    def drop(self, one: Projection, spent: Spent) -> None:
        """The generation is not needed any more."""
        control.drop_generation(self._engine, one.name, spent.generation)

    def require_equal(self, one: Projection, a: Spent, b: Spent) -> int:
        """Rows of both generations, which have to be the same."""
        found = control.diff(self._engine, one.name, a.generation, b.generation)
        if not found.equal or not found.same_vector:
            raise SystemExit(
                f"{one.name}: two rebuilds differ: {found.different} rows, {found.differences[:3]}"
            )
        return found.rows

    def save(self, one: Projection, spent: Spent) -> dict[str, Path]:
        """The rows as COPY takes them, in the order in which they were written, in files."""
        found = {}
        for table in one.metadata.sorted_tables:
            path = self._folder / table.name
            query = (
                f'copy (select * from "{spent.schema}".{table.name} order by ctid) to stdout (format binary)'
            )
            with path.open("wb") as file, self.connection.cursor() as cursor, cursor.copy(query) as copy:
                for part in copy:
                    file.write(part)
            found[table.name] = path
        return found

    def copy(self, one: Projection, spent: Spent, files: Mapping[str, Path]) -> float:
        """The raw side's turn: rows, then primary keys; seconds. The tables are checked against the generation."""
        self.connection.execute("drop schema if exists raw cascade")
        self.connection.execute("create schema raw")
        for name in files:
            self.connection.execute(f'create table raw.{name} (like "{spent.schema}".{name})')
        for path in files.values():
            path.read_bytes()  # both sides find their input in memory
        self.connection.execute("checkpoint")
        began_s = time.perf_counter()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for name, path in files.items():
                with (
                    path.open("rb") as file,
                    cursor.copy(f"copy raw.{name} from stdin (format binary)") as copy,
                ):
                    while part := file.read(_COPY_BYTES):
                        copy.write(part)
            for table in one.metadata.sorted_tables:
                keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
                cursor.execute(f"alter table raw.{table.name} add primary key ({keys})")
        took_s = time.perf_counter() - began_s
        for name in files:
            if self._sum("raw", name) != self._sum(spent.schema, name):
                raise SystemExit(f"the rows of {name} differ from those that were copied")
        return took_s

    def _sum(self, schema: str, table: str) -> tuple[int, str]:
        row = self.connection.execute(
            f'select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from "{schema}".{table} t'
        ).fetchone()
        return (int(row[0]), str(row[1])) if row else (0, "")

    def _cpu_s(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime + server_cpu_s(self._postgres_pid)


def server_cpu_s(postmaster_pid: int) -> float:
    """Of the postmaster, of the sessions that live, and of those that have ended."""
    found = 0.0
    for process in [psutil.Process(postmaster_pid), *psutil.Process(postmaster_pid).children()]:
        try:
            text = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            continue  # ended since, and counted with the postmaster next time
        fields = text.rpartition(")")[2].split()
        own = int(fields[11]) + int(fields[12])
        ended = int(fields[13]) + int(fields[14]) if process.pid == postmaster_pid else 0
        found += (own + ended) / _TICKS
    return found


def _now() -> datetime:
    """A moment of a millisecond of its own: what was appended is before it, what will be is behind it."""
    time.sleep(0.01)
    found = datetime.now(UTC)
    time.sleep(0.01)
    return found


def _require_done(done: Rebuild) -> None:
    if done.state is not RebuildState.READY:
        raise SystemExit(f"{done.projection}: the rebuild is {done.state.value}: {done.reason}")


def _figures_of(bench: Bench, one: Projection, moments: Moments, rounds: int) -> Iterator[tuple[str, float]]:
    """Of one projection: rates, cost, growth."""
    costs: dict[str, list[float]] = {"nothing": [], "share": [], "whole": []}
    walls: dict[int, list[float]] = {1: [], 2: []}
    raw_s: list[float] = []
    files: dict[str, Path] = {}
    events = {"share": 0, "whole": 0}
    for _ in range(rounds):
        for name, until in (("nothing", moments.nothing), ("share", moments.share)):
            spent = bench.rebuild(one, until)
            costs[name].append(spent.cpu_s)
            events[name] = spent.events
            bench.drop(one, spent)
        single = bench.rebuild(one, moments.whole)
        costs["whole"].append(single.cpu_s)
        walls[1].append(single.wall_s)
        events["whole"] = single.events
        if one is SERIES_POINTS:
            files = files or bench.save(one, single)
            raw_s.append(bench.copy(one, single, files))
        double = bench.rebuild(one, moments.whole, workers=2)
        walls[2].append(double.wall_s)
        rows = bench.require_equal(one, single, double)
        print(
            f"{one.name}: {single.events} events, {rows} rows; 1 worker {single.wall_s:.2f} s ({single.cpu_s:.2f} s of CPU), "
            f"2 workers {double.wall_s:.2f} s" + (f", raw {raw_s[-1]:.2f} s" if raw_s else ""),
            file=sys.stderr,
        )
        bench.drop(one, single)
        bench.drop(one, double)
    cost = {name: statistics.median(each) for name, each in costs.items()}
    wall = {workers: statistics.median(each) for workers, each in walls.items()}
    per_event = {name: (cost[name] - cost["nothing"]) / max(1, count) for name, count in events.items()}
    yield f"events_{one.name}", events["whole"]
    yield f"rows_{one.name}", rows
    yield f"events_per_s_{one.name}", round(events["whole"] / wall[1])
    yield f"events_per_s_2_workers_{one.name}", round(events["whole"] / wall[2])
    yield f"events_per_core_s_{one.name}", round(events["whole"] / cost["whole"])
    yield f"cpu_us_per_event_{one.name}", round(1e6 * per_event["whole"], 1)
    yield f"events_share_{one.name}", events["share"]
    yield f"growth_{one.name}", round(per_event["whole"] / per_event["share"], 3)
    if raw_s:
        middle_s = statistics.median(raw_s)
        yield "rows_ratio", round(middle_s / wall[1], 3)
        yield "rows_ratio_2_workers", round(middle_s / wall[2], 3)
        yield "raw_rows_per_s", round(rows / middle_s)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild")
    parser.add_argument("--results", type=int, default=160_000, help=f"of {POINTS} points; the rest follows")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each")
    parser.add_argument(
        "--least", type=int, default=5_000, help="events of the sixteenth for a growth that counts"
    )
    names = [one.name for one in PROJECTIONS]
    parser.add_argument("--only", nargs="*", default=names, choices=names, metavar="NAME")
    chosen = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    figures: dict[str, float] = {"results": chosen.results}
    with ExitStack() as undo:
        home = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="millstream-bench-")))
        stack = undo.enter_context(start(home, report=lambda line: print(line, file=sys.stderr)))
        settings = Settings(
            home=home,
            kafka_bootstrap=stack.endpoints.kafka_bootstrap,
            database_url=SecretStr(stack.endpoints.database_url),
        )
        set_up(settings)
        engine = make_engine(settings, Role.PROJECTOR, pool_size=4, name="bench-orders")
        undo.callback(engine.dispose)
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="millstream-bench-rows-")))
        bench = Bench(settings, engine, stack.endpoints.postgres_pid, folder)
        undo.callback(bench.connection.close)
        moments = bench.publish(chosen.results)
        for one in PROJECTIONS:
            if one.name in chosen.only:
                figures |= dict(_figures_of(bench, one, moments, chosen.rounds))
    growths = [
        figures[f"growth_{name}"] for name in chosen.only if figures[f"events_share_{name}"] >= chosen.least
    ]
    if growths:
        figures["growth"] = max(growths)
    print(json.dumps({"bench": "rebuild", "checked": True, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
