"""How fast is the log replayed into series_points? Beside a raw COPY of the very same rows.

    python -m bench.projector [--events 200000] [--rounds 3] [--only NAME ...] [--index product|same-process|none] [--taken-over]

A stack of its own. ``search.completed`` events lie on the log; a projector (processes of its own, on the live path:
unique keys in place, checkpoints, guards, duplicate handling) folds them. The projection ``event_index`` reads the same log at the
same time: as the product runs it, in a process beside that of ``series_points`` below one parent (``product``, the default), or in another
thread of the same process (``same-process``), or not at all (``none``). The clock stops when both have passed the end, and
every event has to be in the index then. In turns with it the rows that came out, points and
coverage, ready as bytes and in the same order, are copied into tables of the same shape and keys, in one transaction,
by the same server. A ratio is the median rate of the one over the median rate of the other. Row counts and checksums of both
sides, made by the server, are compared each time. ``--taken-over``: there is a row already when the worker gets its partitions, as after a
restart, so that it has to look every key up. The defaults take some ten minutes on two cores; figures of each turn go to stderr.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from pydantic import SecretStr

from bench.product import replay_product
from bench.replaying import Replayed, replay
from bench.result_events import Load, events_of
from infra.embedded.stack import start
from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import EVENT_INDEX, SERIES_POINTS
from projections.generations import ensure_generation
from projections.runner import checkpoint
from schemas.codec import encode
from schemas.topics import Topic

TABLES: Final = ("series_points", "series_coverage")
PRODUCT: Final = "product"
SAME_PROCESS: Final = "same-process"
NONE: Final = "none"
"""Where the index is kept meanwhile."""
_CHUNK: Final = 20_000
_COPY_BYTES: Final = 1 << 20
Connection = psycopg.Connection[Any]


def loads(events: int) -> list[Load]:
    """The three that issue and README speak of."""
    return [
        Load(name="12", events=events, points=12),
        Load(name="12_mixed", events=events, points=12, partitions=3, mixed=True),
        Load(name="1", events=events, points=1),
    ]


class Bench:
    """A stack, the schemas of both sides, and what is done with them."""

    def __init__(self, settings: Settings, choice: str, taken_over: bool) -> None:
        self._settings = settings
        self._choice = choice
        self._taken_over = taken_over
        engine = make_engine(settings, Role.PROJECTOR, pool_size=1, name="bench")
        self._generations = [ensure_generation(engine, one) for one in (SERIES_POINTS, EVENT_INDEX)]
        engine.dispose()
        self.points, self.index = (one.schema_name for one in self._generations)
        self.connection: Connection = connect(settings, Role.ADMIN, autocommit=True, name="bench")
        self.connection.execute("set statement_timeout = 0")
        self.connection.execute("create schema raw")
        for table in TABLES:
            self.connection.execute(f'create table raw.{table} (like "{self.points}".{table} including all)')

    def publish(self, load: Load) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Put the load on the log; (next offset before it, behind it) by ``topic/partition``."""
        before = self._ends()
        partitions = sum(place.startswith(f"{Topic.RESULTS}/") for place in before)
        events = events_of(load, partitions)
        with Publisher(self._settings) as publisher:
            while chunk := list(islice(events, _CHUNK)):
                publisher.publish_all([(one.type.topics[0], *encode(one)) for one in chunk])
        return before, self._ends()

    def _ends(self) -> dict[str, int]:
        with KafkaAdmin(self._settings) as admin:
            return {
                f"{topic}/{number}": marks.end
                for topic in (Topic.INSIGHTS, Topic.RESULTS)
                for number, marks in admin.watermarks(topic).items()
            }

    def empty(self, starts: Mapping[str, int]) -> None:
        """As before the first event: no rows, checkpoints at ``starts``."""
        for schema, one in zip((self.points, self.index), (SERIES_POINTS, EVENT_INDEX), strict=True):
            tables = self.connection.execute(
                "select tablename from pg_tables where schemaname = %s and tablename <> 'generation'",
                (schema,),
            ).fetchall()
            self.connection.execute("truncate " + ", ".join(f'"{schema}"."{name}"' for (name,) in tables))
            self.connection.execute(f'set search_path to "{schema}"')
            with KafkaAdmin(self._settings) as admin:
                topic_ids = {topic.value: admin.topic_id(topic) for topic in one.topics}
                marks = {topic.value: admin.watermarks(topic) for topic in one.topics}
                checkpoint.ensure(self.connection, admin.cluster_id(), topic_ids, marks)
            for place, offset in starts.items():
                topic, number = place.split("/")
                self.connection.execute(
                    "update checkpoints set next_offset = %s where topic = %s and partition = %s",
                    (offset, topic, int(number)),
                )
        self.connection.execute("checkpoint")

    def replay(self, starts: Mapping[str, int], ends: Mapping[str, int]) -> Replayed:
        """The projector's turn."""
        self.empty(starts)
        if not self._taken_over:
            return self._replay(ends)
        coverage = f'"{self.points}".series_coverage'
        self.connection.execute(f"insert into {coverage} values ('of before', 1, 1, 'MONTH', 1, '{{[0,1)}}')")
        replayed = self._replay(ends)
        self.connection.execute(f"delete from {coverage} where series_id = 'of before'")
        return replayed

    def _replay(self, ends: Mapping[str, int]) -> Replayed:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        settings = self._settings
        environ = {
            **kept,
            "MILLSTREAM_HOME": str(settings.home),
            "MILLSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "MILLSTREAM_DATABASE_URL": settings.database_url.get_secret_value(),
            "MILLSTREAM_LOG_LEVEL": "warning",
        }
        if self._choice == PRODUCT:
            return replay_product(settings, environ, SERIES_POINTS.name, (EVENT_INDEX.name,), ends)
        child = subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.projector",
                "--replay",
                json.dumps(dict(ends)),
                "--index",
                self._choice,
            ],
            env=environ,
            stdout=subprocess.PIPE,
            check=False,
            text=True,
        )
        if child.returncode:
            raise SystemExit(f"the projector ended with {child.returncode}: {child.stdout[-2000:]}")
        return msgspec.json.decode(child.stdout.splitlines()[-1], type=Replayed)

    def copy(self, data: Mapping[str, bytes]) -> float:
        """The raw side's turn; seconds."""
        self.connection.execute("truncate " + ", ".join(f"raw.{table}" for table in TABLES))
        self.connection.execute("checkpoint")
        began_s = time.perf_counter()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for table in TABLES:
                with cursor.copy(f"copy raw.{table} from stdin (format binary)") as copy:
                    view = memoryview(data[table])
                    for place in range(0, len(view), _COPY_BYTES):
                        copy.write(view[place : place + _COPY_BYTES])
        return time.perf_counter() - began_s

    def rows(self, schema: str) -> tuple[tuple[int, str], ...]:
        """(rows, checksum) of each table."""
        found = []
        for table in TABLES:
            row = self.connection.execute(
                f'select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from "{schema}".{table} t'
            ).fetchone()
            found.append((int(row[0]), str(row[1])) if row else (0, ""))
        return tuple(found)

    def indexed(self) -> int | None:
        """Events of the load in the index; None where it was not kept."""
        if self._choice == NONE:
            return None
        row = self.connection.execute(
            f'select count(*) from "{self.index}".events where topic = %s', (Topic.RESULTS.value,)
        ).fetchone()
        return int(row[0]) if row else 0

    def bytes_in_order(self) -> dict[str, bytes]:
        """The rows of the last replay in the order in which the projector wrote them, as COPY takes them."""
        found = {}
        for table in TABLES:
            with self.connection.cursor() as cursor:
                query = (
                    f'copy (select * from "{self.points}".{table} order by ctid) to stdout (format binary)'
                )
                with cursor.copy(query) as copy:
                    found[table] = b"".join(bytes(part) for part in copy)
        return found


def _figures(bench: Bench, load: Load, rounds: int) -> Iterator[tuple[str, object]]:
    starts, ends = bench.publish(load)
    replays: list[Replayed] = []
    raws: list[float] = []
    data: dict[str, bytes] = {}
    for number in range(rounds + 1):  # the first round gives the rows and warms both sides
        replayed = bench.replay(starts, ends)
        indexed = bench.indexed()
        if indexed not in (None, load.events):
            raise SystemExit(f"{load.name}: {indexed} of {load.events} events are in the index")
        wanted = bench.rows(bench.points)
        if not number:
            data = bench.bytes_in_order()
        raw_s = bench.copy(data)
        if bench.rows("raw") != wanted:
            raise SystemExit(f"{load.name}: the rows differ: {bench.rows('raw')} copied, {wanted} folded")
        print(
            f"{load.name}: projector {replayed.wall_s:.2f} s, raw {raw_s:.2f} s, {replayed}", file=sys.stderr
        )
        if number:
            replays.append(replayed)
            raws.append(raw_s)
    rows = sum(count for count, _ in wanted)
    wall_s, raw_s = statistics.median(one.wall_s for one in replays), statistics.median(raws)
    middle = sorted(replays, key=lambda one: one.wall_s)[len(replays) // 2]
    yield f"rows_ratio_{load.name}", round(raw_s / wall_s, 3)
    yield f"events_per_s_{load.name}", round(load.events / wall_s)
    yield f"rows_per_s_{load.name}", round(rows / wall_s)
    yield f"raw_rows_per_s_{load.name}", round(rows / raw_s)
    yield f"rows_{load.name}", rows
    yield f"indexed_events_{load.name}", indexed
    yield f"peak_memory_mib_{load.name}", round(max(one.peak_memory_mib for one in replays))
    yield f"memory_mib_{load.name}", middle.memory_mib
    yield f"batches_{load.name}", middle.batches
    yield f"write_share_{load.name}", round(middle.write_s / middle.wall_s, 2)
    yield f"cpu_s_{load.name}", middle.cpu_s


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.projector")
    parser.add_argument("--events", type=int, default=200_000, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="turns measured, after one that warms up")
    parser.add_argument("--only", nargs="*", default=None, help="12, 12_mixed, 1")
    parser.add_argument("--index", choices=[PRODUCT, SAME_PROCESS, NONE], default=PRODUCT)
    parser.add_argument(
        "--taken-over", action="store_true", help="rows are there already, as after a restart"
    )
    parser.add_argument("--replay", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.replay is not None:
        beside = (EVENT_INDEX.name,) if chosen.index == SAME_PROCESS else ()
        replayed = replay(Settings(), SERIES_POINTS.name, json.loads(chosen.replay), beside=beside)
        print(msgspec.json.encode(replayed).decode())
        return 0
    figures: dict[str, object] = {
        "events": chosen.events,
        "event_index": chosen.index,
        "taken_over": chosen.taken_over,
    }
    with ExitStack() as undo:
        home = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="millstream-bench-")))
        stack = undo.enter_context(start(home, report=lambda line: print(line, file=sys.stderr)))
        settings = Settings(
            home=home,
            kafka_bootstrap=stack.endpoints.kafka_bootstrap,
            database_url=SecretStr(stack.endpoints.database_url),
        )
        set_up(settings)
        bench = Bench(settings, chosen.index, chosen.taken_over)
        undo.callback(bench.connection.close)
        for load in loads(chosen.events):
            if chosen.only is None or load.name in chosen.only:
                figures |= dict(_figures(bench, load, chosen.rounds))
    print(json.dumps({"bench": "projector", "checked": True, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
