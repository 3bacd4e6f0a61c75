"""The projector as the product starts it, timed from without: its parent, and a process for each group of projections.

The clock runs from the first partitions assigned (by the projector's own log) to the moment at which the checkpoints of all its
projections stand at the end of the log, as another session sees them.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from bench.replaying import POLL_S, Replayed, backends_cpu_s, until_passed
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.generations import ensure_generation
from schemas.errors import MillstreamError

_SAMPLE_S: Final = 0.5
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_KAFKA_THREADS: Final = "rdk:"


class Projector:
    """``millstream projector --only ...`` with what it logs; a context manager that stops it."""

    def __init__(self, names: Sequence[str], environ: Mapping[str, str]) -> None:
        flags = [part for name in names for part in ("--only", name)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "projector", *flags],
            env={
                **environ,
                "MILLSTREAM_LOG_LEVEL": "info",
                "MILLSTREAM_LOG_FORMAT": "json",
                "MILLSTREAM_METRICS_PORT": "0",
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes = {"parent": self._process.pid}
        self.assigned_at_s: float | None = None
        self.metrics_port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Raises MillstreamError when it did not end well."""
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join()
        if code:
            raise MillstreamError(f"the projector ended with {code}", remedy="See what it said above.")

    def batches(self, name: str) -> tuple[int, float]:
        """(number, seconds) of the batches that this projection has written, by the metrics of all processes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        found = {
            sample.name.rpartition("_")[2]: sample.value
            for family in families
            if family.name == "millstream_projection_batch_seconds"
            for sample in family.samples
            if sample.labels.get("projection") == name
        }
        return int(found["count"]), found["sum"]

    def _read(self) -> None:
        for text in self._process.stderr or ():
            try:
                line = json.loads(text)
            except ValueError:
                print(text, end="", file=sys.stderr)
                continue
            match line.get("action"):
                case "partitions_assigned" if self.assigned_at_s is None:
                    self.assigned_at_s = datetime.fromisoformat(line["time"]).timestamp()
                case "metrics_served":
                    self.metrics_port = line["port"]
                case "group_started":
                    self.processes[line["group"]] = line["pid"]
            if line.get("level") not in ("debug", "info"):
                print(text, end="", file=sys.stderr)


def replay_product(
    settings: Settings, environ: Mapping[str, str], name: str, beside: Sequence[str], ends: Mapping[str, int]
) -> Replayed:
    """Have a projector of ``name`` and ``beside`` pass ``ends`` (by ``topic/partition``). Raises MillstreamError."""
    with ExitStack() as undo:
        engine = make_engine(settings, Role.PROJECTOR, pool_size=1, name="bench")
        schemas = [ensure_generation(engine, projection(one)).schema_name for one in (name, *beside)]
        engine.dispose()
        watch = connect(settings, Role.PROJECTOR, autocommit=True, name="bench-watch")
        undo.callback(watch.close)
        projector = Projector((name, *beside), environ)
        undo.callback(projector.stop)
        memory = _Memory(projector)
        _started(projector)
        before = _cpu_s(projector, watch)
        until_passed(watch, schemas, ends, alive=projector.alive, meanwhile=memory.look)
        ended_s = time.time()
        spent = {label: now - before.get(label, 0.0) for label, now in _cpu_s(projector, watch).items()}
        batches, write_s = projector.batches(name)
        memory.look(now=True)
        if projector.assigned_at_s is None:
            raise MillstreamError("nothing was assigned", remedy="See what the projector says above.")
        return Replayed(
            wall_s=ended_s - projector.assigned_at_s,
            write_s=write_s,
            batches=batches,
            cpu_s={label: round(seconds, 2) for label, seconds in sorted(spent.items()) if seconds >= 0.05},
            peak_memory_mib=memory.peak_mib,
            memory_mib=memory.by_process(),
        )


def _started(projector: Projector) -> None:
    deadline_s = time.monotonic() + _START_S
    while projector.assigned_at_s is None:
        if time.monotonic() > deadline_s or not projector.alive():
            raise MillstreamError("the projector did not start", remedy="See what it said above.")
        time.sleep(POLL_S)


class _Memory:
    """What all processes hold at once, looked at several times a second: pages that they share count once."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._looked_s = 0.0
        self.peak_mib = 0.0

    def look(self, *, now: bool = False) -> None:
        now_s = time.monotonic()
        if not now and now_s - self._looked_s < _SAMPLE_S:
            return
        self._looked_s = now_s
        held = sum(_kib(pid, "smaps_rollup", "Pss") for pid in list(self._projector.processes.values()))
        self.peak_mib = max(self.peak_mib, held / 1024)

    def by_process(self) -> dict[str, float]:
        """The most that each has held (resident, what it shares included)."""
        return {
            name: round(_kib(pid, "status", "VmHWM") / 1024)
            for name, pid in self._projector.processes.items()
        }


def _kib(pid: int, file: str, field: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:"))


def _cpu_s(projector: Projector, watch: "psycopg.Connection[Any]") -> dict[str, float]:
    """CPU time so far: of each process, its Kafka client apart, and of the database's sessions."""
    found: dict[str, float] = {}
    for name, pid in projector.processes.items():
        for thread in psutil.Process(pid).threads():
            command = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text(encoding="utf-8")
            label = f"{name} kafka client" if command.startswith(_KAFKA_THREADS) else name
            found[label] = found.get(label, 0.0) + thread.user_time + thread.system_time
    found |= backends_cpu_s(watch)
    return found
