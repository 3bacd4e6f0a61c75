"""Projector processes for tests: started, read, stopped and killed by id."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from infra.embedded.processes import ProcessRef, descendants
from infra.settings import Settings
from tests.support.environ import program_environ
from tests.support.spawning import talking

SESSION_TIMEOUT_MS = 6_000
_START_S = 30.0
_RUNS = frozenset(("group_started", "partitions_assigned"))
"""Said when the signals are heard: by a child, and by the first projection."""


class ProjectorProcess:
    """``millstream projector`` as a child, with the lines that it logs."""

    def __init__(
        self, settings: Settings, only: Sequence[str] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        flags = [part for name in only for part in ("--only", name)]
        self._process, self._output = talking(
            ["api.cli.main", "projector", *flags],
            program_environ(
                settings,
                {
                    "MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
                    "MILLSTREAM_LOG_FORMAT": "json",
                    "MILLSTREAM_CANARY_INTERVAL_S": "0",  # nothing is said but what the test says
                    **(environ or {}),
                },
            ),
        )
        self.lines: list[dict[str, object]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        if error is not None:  # its last words, for whoever reads the failure
            words = [line for line in self.lines if line.get("level") not in ("info", "debug")]
            sys.stderr.write("\n".join(str(line) for line in words[-20:]) + "\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process; what pauses or wakes reaches its children too, as when a machine is paused."""
        if number in (signal.SIGSTOP, signal.SIGCONT):
            for child in self.children():
                child.signal(number)
        self._process.send_signal(number)

    def children(self) -> list[ProcessRef]:
        """The processes that share the projections; none when this one runs them itself."""
        return descendants(self._process.pid)

    def child(self, group: str) -> ProcessRef:
        """The child that runs this group, by what it logs; there has to be one."""
        alive = {ref.pid: ref for ref in self.children()}
        for line in reversed(list(self.lines)):
            if line.get("process") == f"projector-{group}" and line.get("action") == "group_started":
                pid = line["pid"]
                assert isinstance(pid, int)
                return alive[pid]
        raise AssertionError(f"no child runs {group}")

    def wait(self, timeout_s: float = 60.0) -> int:
        """The exit code; negative for a signal."""
        return self._process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM, and the exit code. Waits first until the process runs: before that, the signal ends it as it ends any program."""
        eventually(lambda: self._process.poll() is not None or self._runs(), _START_S)
        self.send(signal.SIGTERM)
        return self.wait(20.0)

    def _runs(self) -> bool:
        return any(line["action"] in _RUNS for line in list(self.lines))

    def assigned(self, projection: str) -> set[str]:
        """``topic/partition`` of the last assignment that the process logged."""
        found: set[str] = set()
        for line in list(self.lines):
            if line.get("projection") == projection:
                if line["action"] == "partitions_assigned":
                    partitions = line["partitions"]
                    assert isinstance(partitions, list)
                    found = set(partitions)
                elif line["action"] == "partitions_revoked":
                    found = set()
        return found

    def _read(self) -> None:
        for line in self._output:
            try:
                self.lines.append(json.loads(line))
            except json.JSONDecodeError:
                self.lines.append({"action": "text", "text": line.rstrip()})


def eventually(condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
    """Poll a condition until it is true; False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def projector_running(
    settings: Settings, only: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Iterator[ProjectorProcess]:
    """A projector that is stopped cleanly at the end."""
    with ProjectorProcess(settings, only, environ) as process:
        yield process
        assert process.stop() == 0


@contextmanager
def running_in_thread(run: Callable[[], object], *, stop: Callable[[], object]) -> Iterator[None]:
    """``run`` in a thread of its own until the end of the block; ``stop`` tells it to return."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(20)
