"""The long part: the log from the checkpoints up to fixed ends, in this process or in several."""

import multiprocessing
import os
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Final

import msgspec
from sqlalchemy import Engine

from infra.settings import Settings
from projections.catalogue import PROJECTIONS, projection
from projections.generations import Generation
from projections.pace import set_pace
from projections.projection import Projection
from projections.rebuild.errors import RebuildFailed
from projections.rebuild.filling import BULK_LINGER_S, Filler, on_schema
from projections.rebuild.holding import vector_of
from projections.rebuild.indexes import create_missing, is_keyless
from projections.rebuild.vectors import Partition, Vector, share
from projections.rebuild.watch import Watch
from projections.runner.bound import Bound

_POLL_S: Final = 0.05
_END_TIMEOUT_S: Final = 30.0


def fill(
    settings: Settings,
    engine: Engine,
    one: Projection,
    generation: Generation,
    ends: dict[Partition, int],
    workers: int,
    watch: Watch,
) -> None:
    """Fold everything before ``ends``. Raises what ``Watch.tick`` raises, MustStop, RebuildFailed."""
    keyless = is_keyless(engine, one, generation.schema_name)
    if workers == 1 or one not in PROJECTIONS:
        _fill_here(settings, _filling(one, keyless), generation, ends, watch)
    else:
        _fill_apart(settings, engine, one, generation, ends, workers, keyless, watch)


def finish(settings: Settings, engine: Engine, one: Projection, generation: Generation) -> None:
    """What comes last: rows that could not be looked for meanwhile go, keys and indexes are built. May be done again."""
    if (
        one.bulk is not None
        and one.bulk.finish is not None
        and is_keyless(engine, one, generation.schema_name)
    ):
        with on_schema(settings, generation.schema_name) as connection:
            connection.execute("set statement_timeout = 0")
            one.bulk.finish(connection)
    create_missing(engine, one, generation.schema_name)


def _filling(one: Projection, keyless: bool) -> Projection:
    """``one`` as it is folded into a generation whose keys come last."""
    if not keyless or one.bulk is None or one.bulk.begin is None:
        return one
    return msgspec.structs.replace(one, gatherer=one.bulk.begin, prepare=one.bulk.prepare or one.prepare)


def _fill_here(
    settings: Settings, one: Projection, generation: Generation, ends: dict[Partition, int], watch: Watch
) -> None:
    filler = Filler(settings, one, generation, Bound(ends), BULK_LINGER_S)
    filler.start()
    try:
        while not filler.reached(ends):
            watch.tick(filler.at)
            require_alone(filler)
            time.sleep(_POLL_S)
        watch.tick(filler.at, now=True)
    finally:
        filler.close()


def require_alone(filler: Filler) -> None:
    """Raises RebuildFailed when somebody else has taken this generation's partitions."""
    if filler.fenced.is_set():
        raise RebuildFailed(
            "somebody else folds this generation",
            remedy="See which projectors and rebuilds run: millstream projection list.",
        )


def _fill_apart(
    settings: Settings,
    engine: Engine,
    one: Projection,
    generation: Generation,
    ends: dict[Partition, int],
    workers: int,
    keyless: bool,
    watch: Watch,
) -> None:
    """One process for each share of the partitions; how far they are is read from the checkpoints."""
    context = multiprocessing.get_context("spawn")
    parts = [share(ends, number, workers) for number in range(workers)]
    with ExitStack() as stack:
        children: list[tuple[BaseProcess, Pipe]] = []
        for part in parts:
            if not part:
                continue
            child: BaseProcess
            ours, theirs = context.Pipe()
            child = context.Process(
                target=_work,
                args=(
                    settings,
                    one.name,
                    generation,
                    {place: ends[place] for place in part},
                    keyless,
                    theirs,
                ),
                name=f"rebuild-{one.name}",
                daemon=True,
            )
            child.start()
            theirs.close()
            stack.callback(_end, child, ours)
            children.append((child, ours))
        while any(each.exitcode is None for each, _ in children):
            watch.tick(_at(engine, generation))
            for each, pipe in children:
                _require_well(each, pipe)
            time.sleep(_POLL_S)
        for each, pipe in children:
            _require_well(each, pipe)
        watch.tick(_at(engine, generation), now=True)


def _at(engine: Engine, generation: Generation) -> Vector:
    with engine.connect() as connection:
        return vector_of(connection, generation.schema_name)


def _require_well(child: BaseProcess, pipe: Pipe) -> None:
    if child.exitcode in (None, 0):
        return
    try:
        said = str(pipe.recv()) if pipe.poll() else ""
    except EOFError:
        said = ""
    raise RebuildFailed(
        f"a worker process ended with code {child.exitcode}: {said or 'it said nothing'}",
        remedy="Resume the rebuild: it goes on from its checkpoints.",
    )


def _end(child: BaseProcess, pipe: Pipe) -> None:
    """Closing our end is the sign to stop."""
    pipe.close()
    child.join(_END_TIMEOUT_S)
    if child.exitcode is None:
        child.kill()
        child.join()


def _work(
    settings: Settings,
    name: str,
    generation: Generation,
    ends: dict[Partition, int],
    keyless: bool,
    pipe: Pipe,
) -> None:
    """In a process of its own, until its share is folded or the other end of ``pipe`` is closed, by whatever."""
    set_pace()
    filler = Filler(settings, _filling(projection(name), keyless), generation, Bound(ends), BULK_LINGER_S)
    filler.start()
    try:
        while not filler.reached(ends):
            require_alone(filler)
            if pipe.poll(_POLL_S):
                pipe.recv()  # raises EOFError: nothing is ever sent
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - told to the process that waits
        pipe.send(f"{error!r}")
        os._exit(1)
    finally:
        filler.close()
