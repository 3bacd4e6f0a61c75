"""A projector for a benchmark: the live path of one or two projections in one process, timed from within.

The clock runs from the first partitions assigned (the consumer's first fetch comes after it) to the moment at which the checkpoints
of all that are awaited stand at the end of the log, as another session sees them.
"""

import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import psycopg
import structlog

from infra import metrics
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.generations import ensure_generation
from projections.pace import set_pace
from projections.runner.notify import Notifier
from projections.runner.runner import Runner
from schemas.errors import MillstreamError

POLL_S: Final = 0.1
"""Each look costs a few milliseconds of processor time, which the projector wants too."""
_WAIT_S: Final = 600.0


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How one replay went. Seconds; ``cpu_s`` by thread or process of the projector, and of the database's backends.

    ``peak_memory_mib`` is what all processes held at once (pages that they share once), ``memory_mib`` the most of each.
    """

    wall_s: float
    write_s: float
    batches: int
    cpu_s: Mapping[str, float]
    peak_memory_mib: float
    memory_mib: Mapping[str, float]


class _Assigned:
    """Notes when the log was assigned first; says warnings."""

    def __init__(self) -> None:
        self.at_s: float | None = None

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if event.get("event") == "partitions_assigned" and self.at_s is None:
            self.at_s = time.perf_counter()
        if method in ("debug", "info"):
            raise structlog.DropEvent
        return event


def replay(settings: Settings, name: str, ends: Mapping[str, int], *, beside: Sequence[str]) -> Replayed:
    """Run the projection ``name``, and those ``beside`` it, here until all have passed ``ends`` (by ``topic/partition``)."""
    set_pace()
    assigned = _Assigned()
    structlog.configure(processors=[assigned, structlog.processors.JSONRenderer()])
    stop = threading.Event()
    with ExitStack() as undo:
        engine = make_engine(settings, Role.PROJECTOR, pool_size=2, name="bench")
        undo.callback(engine.dispose)
        notifier = Notifier(settings)
        undo.callback(notifier.close)
        watch = connect(settings, Role.PROJECTOR, autocommit=True, name="bench-watch")
        undo.callback(watch.close)
        threads: list[threading.Thread] = []
        schemas = []
        for one in (name, *beside):
            generation = ensure_generation(engine, projection(one))
            schemas.append(generation.schema_name)
            runner = Runner(settings, projection(one), generation, notifier, stop)
            threads.append(threading.Thread(target=runner.run, name=f"write {one}"))
        for thread in threads:
            thread.start()
        try:
            until_passed(watch, schemas, ends, alive=lambda: all(thread.is_alive() for thread in threads))
            ended_s = time.perf_counter()
            cpu_s = _cpu_s(watch)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    if assigned.at_s is None:
        raise MillstreamError(
            "the projection was assigned nothing", remedy="See what the benchmark's log says."
        )
    written = metrics.PROJECTION_BATCH_SECONDS.labels(name)
    samples = {sample.name.rpartition("_")[2]: sample.value for sample in written._child_samples()}
    return Replayed(
        wall_s=ended_s - assigned.at_s,
        write_s=samples["sum"],
        batches=int(samples["count"]),
        cpu_s=cpu_s,
        peak_memory_mib=(peak := _peak_memory_mib()),
        memory_mib={"projector": round(peak)},
    )


def until_passed(
    watch: "psycopg.Connection[Any]",
    schemas: Sequence[str],
    ends: Mapping[str, int],
    *,
    alive: Callable[[], bool],
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Wait until every end was passed in all ``schemas``. Raises MillstreamError."""
    deadline_s = time.monotonic() + _WAIT_S
    behind = list(schemas)
    while time.monotonic() < deadline_s and alive():
        query = f"select topic || '/' || partition, next_offset from \"{behind[0]}\".checkpoints".encode()
        passed = dict(watch.execute(query).fetchall())
        if all(passed.get(place, 0) >= end for place, end in ends.items()):
            behind.pop(0)
            if not behind:
                return
            continue
        meanwhile()
        time.sleep(POLL_S)
    raise MillstreamError("the log was not passed", remedy="See what the benchmark's log says.")


def _peak_memory_mib() -> float:
    """Most resident memory so far. (``getrusage`` also knows what the parent had when it forked.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _cpu_s(watch: "psycopg.Connection[Any]") -> dict[str, float]:
    """CPU time so far: of our threads by name, of the rest (the Kafka client's), of the database's sessions."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for thread in psutil.Process().threads():
        label = names.get(thread.id, "kafka client")
        found[label] = found.get(label, 0.0) + thread.user_time + thread.system_time
    found |= backends_cpu_s(watch)
    return {label: round(seconds, 2) for label, seconds in sorted(found.items()) if seconds >= 0.05}


def backends_cpu_s(watch: "psycopg.Connection[Any]") -> dict[str, float]:
    """CPU time so far of the sessions of projections, by name."""
    found: dict[str, float] = {}
    rows = watch.execute(
        "select application_name, pid from pg_stat_activity where application_name like 'millstream-projector-%'"
    ).fetchall()
    for application, pid in rows:
        times = psutil.Process(pid).cpu_times()
        label = f"postgres {application.removeprefix('millstream-projector-')}"
        found[label] = found.get(label, 0.0) + times.user + times.system
    return found
