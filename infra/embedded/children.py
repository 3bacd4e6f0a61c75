"""How one child process is started, known again later, and ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.logs import log_path
from infra.embedded.processes import ProcessRef, process_ref, stop_processes

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class UserChange:
    """Who a child runs as: in a user namespace of its own (looks like ``uid`` there), or switched to for good."""

    uid: int
    gid: int
    namespace: bool

    def spec(self) -> dict[str, dict[str, int]]:
        """For the launcher."""
        return {"namespace" if self.namespace else "switch": {"uid": self.uid, "gid": self.gid}}


def _always_ready() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a child that died is started again."""

    initial_s: float = 0.5
    factor: float = 2.0
    longest_s: float = 15.0
    calm_s: float = 30.0
    """A child that ran this long counts as healthy again."""
    give_up_after: int = 8
    """Deaths in a row after which the child has failed for good: someone has to look."""

    def delay_s(self, failures: int) -> float:
        """The wait after the ``failures``-th death in a row (1 is the first)."""
        return min(self.longest_s, self.initial_s * self.factor ** min(30, max(0, failures - 1)))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child process. ``command`` begins with an absolute path."""

    name: str
    command: tuple[str, ...]
    cwd: Path | None = None
    environ: Mapping[str, str] | None = None
    """None: the environment of the supervisor."""
    after: tuple[str, ...] = ()
    """Children that must be ready before this one is started."""
    ready: Callable[[], bool] = _always_ready
    """Asked again and again; must return within about a second."""
    ready_timeout_s: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 15.0
    restart: bool = False
    """Start it again when it dies: agents end themselves with code 70 on a bug."""
    start_attempts: int = 1
    """Deaths before the child was ever ready that are forgiven, plus one."""
    backoff: Backoff = field(default_factory=Backoff)
    user: UserChange | None = None


def launch_command(command: tuple[str, ...], *, death_signal: int, user: UserChange | None) -> list[str]:
    """The command line that runs ``command`` through the launcher, as a child of this process."""
    spec = {
        "parent_pid": os.getpid(),
        "death_signal": int(death_signal),
        "user": user.spec() if user is not None else None,
    }
    return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(spec), *command]


def spawn(spec: ChildSpec, logs: Path) -> subprocess.Popen[bytes]:
    """Start the child. It dies with the *thread* that calls this (parent-death signal): call it from one that stays.

    It gets a session of its own, so that Ctrl-C in the terminal reaches the supervisor only, which then stops it in order.
    """
    with log_path(logs, spec.name).open("ab") as log:
        return subprocess.Popen(
            launch_command(spec.command, death_signal=spec.stop_signal, user=spec.user),
            cwd=spec.cwd,
            env=None if spec.environ is None else dict(spec.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child has ended; it is not reaped yet, so its pid and group are still its own."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def reap(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a child that has ended. Processes that it left behind in its group are killed first."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def pid_file(run: Path, name: str) -> Path:
    """Where the child of this name is remembered."""
    return run / f"{name}.pid"


def write_pid_file(run: Path, spec: ChildSpec, ref: ProcessRef) -> None:
    """Remember a running child, and how it wants to be stopped."""
    text = json.dumps({"pid": ref.pid, "start_ticks": ref.start_ticks, "stop_signal": int(spec.stop_signal)})
    pid_file(run, spec.name).write_text(text, encoding="ascii")


def stop_orphans(run: Path, *, timeout_s: float = 20.0) -> list[str]:
    """End the children that a supervisor left behind when it crashed; their names.

    Only call it while holding the lock that the supervisor of these children held. They were told to end when it died; one that
    has not yet is asked again and then killed. A pid that now belongs to another process is left alone.
    """
    wanted = {}
    names = []
    paths = sorted(run.glob("*.pid"))
    for path in paths:
        try:
            found = json.loads(path.read_text(encoding="ascii"))
            ref = ProcessRef(int(found["pid"]), int(found["start_ticks"]))
            number = int(found["stop_signal"])
        except (ValueError, KeyError, TypeError):
            continue  # cut short by a crash: nothing to be known from it
        if ref.alive():
            wanted[ref] = number
            names.append(path.stem)
    stop_processes(wanted, timeout_s=timeout_s)
    for path in paths:
        path.unlink(missing_ok=True)
    return names


def ref_of(process: subprocess.Popen[bytes]) -> ProcessRef | None:
    """The child as it can be found again later; None when it has ended already."""
    return process_ref(process.pid)
