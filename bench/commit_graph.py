"""How long does the commit graph of a large repository take, whole and again after one upload?

    python -m bench.commit_graph [--commits 10000] [--uploads 1000] [--rounds 3] [--checked 200]

A stack of its own. The events of one repository (a main line with short branches merged into it, uploads of several roots and
indexers spread over all commits) are folded by the projection's own fold and writer into a generation that nobody else writes. ``full_s`` is the
median of the derive step from nothing: base rows read, graph made, three tables written and committed. ``compute_s`` is the pure part of it,
``again_s`` the step after one more upload near the tip: it makes everything anew, and writes what has changed. What the queries answer
at sampled commits is compared with the rules taken word for word (``tests/support/naive_graph.py``).
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from sqlalchemy import Engine

from infra.embedded.stack import start
from infra.installation import set_up
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import COMMIT_GRAPH
from projections.commit_graph import queries
from projections.folding import Folding
from projections.generations import Generation
from projections.rebuild.filling import on_schema
from projections.runner.checkpoint import Connection
from projections.runner.deriving import Deriving
from projections.verification.scratch import scratch_generation
from schemas.codec import new_event
from schemas.envelope import Position
from tests.support.graph_events import NOW, payload_of, topic_of
from tests.support.graph_facts import Fact, Published, Pushed, Ref, Removed, Told
from tests.support.naive_graph import NaiveUpload, visible_at

REPOSITORY: Final = 7
ROOTS: Final = ("", *(f"service{number}/" for number in range(19)))
INDEXERS: Final = ("scip-python", "scip-typescript", "scip-go")
_EVENT_COMMITS: Final = 2_000


def history(commits: int, random_: random.Random) -> dict[str, tuple[str, ...]]:
    """A main line; now and then a branch of a few commits leaves it and is merged."""
    names = iter(f"{number:040x}" for number in random_.sample(range(1 << 62), commits))
    parents: dict[str, tuple[str, ...]] = {}
    main = next(names)
    parents[main] = ()
    for name in names:
        if random_.random() >= 0.03:
            parents[name], main = (main,), name
            continue
        tip = main
        for _ in range(random_.randrange(1, 6)):
            side, name = name, next(names, "")
            parents[side], tip = (tip,), side
            if not name:
                return parents
        parents[name], main = (main, tip), name
    return parents


def uploads_of(parents: dict[str, tuple[str, ...]], number: int, random_: random.Random) -> list[Published]:
    """Spread over all commits."""
    names = list(parents)
    return [
        Published(upload, random_.choice(names), random_.choice(ROOTS), random_.choice(INDEXERS), ())
        for upload in range(1, number + 1)
    ]


class Bench:
    """One generation, and what is done with it."""

    def __init__(self, engine: Engine, connection: Connection, generation: Generation) -> None:
        if COMMIT_GRAPH.derive is None:
            raise SystemExit("the commit graph has no derive step")
        self._engine = engine
        self._connection = connection
        self._schema = generation.schema_name
        self._deriving = Deriving(COMMIT_GRAPH.name, self._schema, COMMIT_GRAPH.derive, connection)
        self._read = COMMIT_GRAPH.derive.read
        self._offset = 0

    def fold(self, facts: Sequence[Fact]) -> None:
        """One batch."""
        events: list[Folding] = []
        for fact in facts:
            event = new_event(payload_of(fact, REPOSITORY), source="//bench", time=NOW)
            events.append(Folding(event, Position(topic_of(fact), 0, self._offset), NOW))
            self._offset += 1
        write = COMMIT_GRAPH.prepare(events)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            write(cursor)

    def empty(self) -> None:
        """As if nothing had been derived."""
        for table in sorted(COMMIT_GRAPH.derive.tables) if COMMIT_GRAPH.derive is not None else ():
            self._connection.execute(f'delete from "{self._schema}"."{table}"'.encode())
        self._connection.execute("update lsif_dirty_repositories set update_token = 0")

    def derive(self) -> float:
        """Seconds of the step."""
        began_s = time.perf_counter()
        self._deriving.all()
        return time.perf_counter() - began_s

    def compute(self) -> float:
        """Seconds of its pure part."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            compute = self._read(cursor, REPOSITORY)
        began_s = time.perf_counter()
        compute()
        return time.perf_counter() - began_s

    def visible(self, commit: str) -> dict[int, int]:
        """What the query answers."""
        with self._engine.connect() as plain:
            connection = plain.execution_options(
                schema_translate_map={COMMIT_GRAPH.metadata.schema: self._schema}
            )
            found = queries.nearest_uploads(connection, REPOSITORY, commit)
        return {one.upload_id: one.distance for one in found}

    def rows(self) -> Iterator[tuple[str, int]]:
        """Rows of the derived tables."""
        for table in sorted(COMMIT_GRAPH.derive.tables) if COMMIT_GRAPH.derive is not None else ():
            row = self._connection.execute(
                f'select count(*) from "{self._schema}"."{table}"'.encode()
            ).fetchone()
            yield table, int(str(row[0])) if row else 0


def check(
    bench: Bench,
    parents: dict[str, tuple[str, ...]],
    uploads: Sequence[Published],
    commits: Sequence[str],
) -> None:
    """Compare the answers at ``commits`` with the rules. Ends the process when one differs."""
    plain = {name: list(above) for name, above in parents.items()}
    naive = [NaiveUpload(one.upload, one.commit, one.root, one.indexer) for one in uploads]
    for commit in commits:
        wanted, found = visible_at(plain, naive, commit), bench.visible(commit)
        if wanted != found:
            raise SystemExit(f"{commit}: {found} is answered, and the rules say {wanted}")


def measure(bench: Bench, chosen: argparse.Namespace) -> dict[str, object]:
    """The figures."""
    random_ = random.Random(chosen.seed)
    parents = history(chosen.commits, random_)
    uploads = uploads_of(parents, chosen.uploads, random_)
    names = list(parents)
    refs = (Ref("main", names[-1], False, True, timedelta(0)),)
    parts = [names[place : place + _EVENT_COMMITS] for place in range(0, len(names), _EVENT_COMMITS)]
    bench.fold([Removed(True), Pushed(0)])
    began_s = time.perf_counter()
    for number, part in enumerate(parts, start=1):
        told = tuple((name, parents[name], False) for name in part)
        bench.fold([Told(0, "look", number, len(parts), told, refs if number == 1 else ())])
    bench.fold(uploads)
    folded_s = time.perf_counter() - began_s
    full: list[float] = []
    for _ in range(chosen.rounds):
        bench.empty()
        full.append(bench.derive())
    compute_s = statistics.median(bench.compute() for _ in range(chosen.rounds))
    rows = dict(bench.rows())
    sample = random_.sample(names, min(chosen.checked, len(names)))
    check(bench, parents, uploads, sample)
    again: list[float] = []
    for number in range(chosen.rounds):
        more = Published(chosen.uploads + 1 + number, names[-20], f"new{number}/", INDEXERS[0], ())
        uploads.append(more)
        bench.fold([more])
        again.append(bench.derive())
    check(bench, parents, uploads, sample[: len(sample) // 4])
    return {
        "commits": len(names),
        "uploads": chosen.uploads,
        "checked_commits": len(sample),
        "full_s": round(statistics.median(full), 3),
        "compute_s": round(compute_s, 3),
        "again_s": round(statistics.median(again), 3),
        "fold_s": round(folded_s, 3),
        **rows,
    }


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.commit_graph")
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--uploads", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--checked", type=int, default=200, help="commits whose answers are compared with the rules"
    )
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with ExitStack() as undo:
        home = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="millstream-bench-")))
        stack = undo.enter_context(start(home, report=lambda line: print(line, file=sys.stderr)))
        settings = Settings(
            home=home,
            kafka_bootstrap=stack.endpoints.kafka_bootstrap,
            database_url=SecretStr(stack.endpoints.database_url),
        )
        set_up(settings)
        engine = make_engine(settings, Role.PROJECTOR, pool_size=2, name="bench")
        undo.callback(engine.dispose)
        generation = undo.enter_context(scratch_generation(settings, engine, COMMIT_GRAPH))
        connection = undo.enter_context(on_schema(settings, generation.schema_name))
        figures = measure(Bench(engine, connection, generation), chosen)
    print(json.dumps({"bench": "commit_graph", "checked": True, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
