"""A whole system of its own for a benchmark: stack, projector and worker, gone afterwards; and what is asked of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
from pydantic import SecretStr

from infra.embedded.stack import start
from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.generations import NotProjected
from projections.reading import Reader
from projections.repositories import queries as repository_rows
from projections.series_points import queries as series_points
from schemas.codec import new_event
from schemas.events import InsightCreated, RepositoryRegistered, SeriesDefinition
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, aggregate_id, repository_id, series_id

SOURCE: Final = "//millstream/bench"
FRAMES: Final = 12
UNIT: Final = TimeUnit.MONTH
WAIT_S: Final = 120.0
_POLL_S: Final = 0.005


def register(
    repositories: Sequence[Path], publisher: Publisher, reader: Reader, wait_s: float = WAIT_S
) -> dict[int, Path]:
    """Make the repositories known; the folder of each by id, once all are ready."""
    ids: dict[int, Path] = {}
    events = []
    for number, path in enumerate(repositories):
        name = f"bench.example/{number}/{path.name}"
        ids[repository_id(name)] = path
        payload = RepositoryRegistered(repository_id=repository_id(name), name=name, path=str(path))
        events.append(new_event(payload, source=SOURCE, time=datetime.now(UTC)))
    publisher.publish(events)

    def ready() -> bool:
        try:
            with reader.snapshot() as snapshot:
                rows = repository_rows.by_ids(snapshot.connection, ids)
        except NotProjected:
            return False
        failed = [row.clone_error for row in rows.values() if row.clone_state == "failed"]
        if failed:
            raise SystemExit(f"a repository is not readable: {failed[0]}")
        return len(rows) == len(ids) and all(row.clone_state == "ready" for row in rows.values())

    until(ready, "the repositories to be ready", wait_s, poll_s=1.0 if len(ids) > 500 else _POLL_S)
    return ids


def ask(
    query: str, repositories: Sequence[int], publisher: Publisher, now: datetime | None = None
) -> SeriesDefinition:
    """Publish an insight of one series, by months, over ``repositories``; its line. Each query is a series of its own."""
    at = now if now is not None else datetime.now(UTC)
    listed = sorted(repositories)
    line = SeriesDefinition(
        series_id=series_id(SeriesIdentity(query=query, unit=UNIT.value, repositories=listed)),
        label=query,
        query=query,
        unit=UNIT,
        value=1,
        repositories=listed,
    )
    payload = InsightCreated(
        insight_id=aggregate_id("insight", "bench", query),
        title=query,
        creator="bench",
        created_at=at,
        series=[line],
        frames=FRAMES,
    )
    publisher.publish([new_event(payload, source=SOURCE, time=at)])
    return line


def is_counted(reader: Reader, line: SeriesDefinition) -> bool:
    """Whether every repository of ``line`` is planned and no cell of it is open."""
    with reader.snapshot(("series_points",)) as snapshot:
        found = series_points.progress(snapshot.connection, [line.series_id]).get(line.series_id)
    return found is not None and found.repositories == len(line.repositories or ()) and found.open_cells == 0


PROGRAMS: Final = (("api.cli.main", "projector"), ("api.cli.main", "worker"))


@contextmanager
def running(
    home: Path, programs: Sequence[tuple[str, ...]] = PROGRAMS, **environment: str
) -> Iterator[Settings]:
    """A stack with projector and worker, or other ``programs`` (a module and its arguments), gone afterwards."""
    with start(home, report=lambda line: print(line, file=sys.stderr)) as stack:
        settings = Settings(
            home=home,
            kafka_bootstrap=stack.endpoints.kafka_bootstrap,
            database_url=SecretStr(stack.endpoints.database_url),
        )
        set_up(settings)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        environ = {**kept, "MILLSTREAM_HOME": str(home), "MILLSTREAM_LOG_LEVEL": "warning", **environment}
        children = [
            subprocess.Popen([sys.executable, "-m", *program], env=environ, stdin=subprocess.DEVNULL)
            for program in programs
        ]
        try:
            yield settings
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                try:
                    child.wait(20)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


_NAMES: Final = ("hands", "heads")
"""What a process may call itself; it is called so in figures."""
_PROGRAMS: Final = {
    "kafka.Kafka": "kafka",
    "postgres": "postgres",
    "main projector": "projector",
    "recordings.counter": "counting",
}
"""What stands in a command line, and what the process is called in figures."""


def cpu_s() -> dict[str, float]:
    """CPU time so far of everything below this process, by program; of git, and of what else has ended, with its parent."""
    found = dict.fromkeys((*_PROGRAMS.values(), *_NAMES), 0.0)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            command, called = " ".join(process.cmdline()), process.name()
            times = process.cpu_times()
            program = next(
                (name for part, name in _PROGRAMS.items() if part in command),
                called if called in _NAMES else None,
            )
            if program is not None:
                found[program] += times.user + times.system + times.children_user + times.children_system
    return found


def until(condition: Callable[[], bool], what: str, wait_s: float = WAIT_S, poll_s: float = _POLL_S) -> None:
    """Wait for ``condition``. Raises SystemExit when it does not come true in ``wait_s``."""
    deadline = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {wait_s:.0f} s in vain for {what}")
        time.sleep(poll_s)
