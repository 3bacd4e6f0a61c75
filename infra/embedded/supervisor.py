"""Supervision of child processes: ordered start, readiness, restart with backoff, ordered stop.

One thread starts, watches and ends all children of a supervisor, because the kernel ties a child's life to the thread that
started it. When the process of the supervisor dies in any way, its children end too.
"""

import enum
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.embedded.children import ChildSpec, has_ended, pid_file, reap, ref_of, spawn, write_pid_file
from infra.embedded.errors import StackError, child_failed, naming_disk_full
from infra.embedded.logs import log_path, rotate_if_large, tail
from infra.embedded.processes import ProcessRef

_TICK_S = 0.05
_ROTATION_CHECK_S = 5.0
_LAST_WORDS_LINES = 20


class ChildState(enum.StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What is known of one child now."""

    name: str
    state: ChildState
    process: ProcessRef | None
    restarts: int
    last_exit_code: int | None


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    state: ChildState = ChildState.WAITING
    process: subprocess.Popen[bytes] | None = None
    ref: ProcessRef | None = None
    started_at: float = 0.0
    ever_ready: bool = False
    failures: int = 0
    restarts: int = 0
    next_start_at: float = 0.0
    last_exit_code: int | None = None

    def status(self) -> ChildStatus:
        return ChildStatus(self.spec.name, self.state, self.ref, self.restarts, self.last_exit_code)


class Supervisor:
    """Runs children until :meth:`stop`. Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        children: in the order of their start; they are stopped in the opposite order, one after the other.
        logs: folder of ``NAME.log`` files.
        run: folder of pid files.
        on_change: called from the supervisor's thread at every change of a child's state; must be quick.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        logs: Path,
        run: Path,
        on_change: Callable[[ChildStatus], None] | None = None,
    ) -> None:
        names = [spec.name for spec in children]
        for index, spec in enumerate(children):
            for name in spec.after:
                if name not in names[:index]:
                    raise StackError(
                        f"child {spec.name} comes after {name}, which is not before it in the list"
                    )
        self._children = [_Child(spec) for spec in children]
        self._logs = logs
        self._run = run
        self._on_change = on_change
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._crash: BaseException | None = None
        self._rotation_due = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all children; returns when every one is ready.

        Raises:
            ChildFailed: a child ended or was not ready in time; all others are stopped again.
        """
        if self._thread is not None:
            raise StackError("this supervisor was started before")
        self._thread = threading.Thread(target=self._main, name="supervisor", daemon=True)
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._settled() or self._crash is not None)
            self._raise_failure()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all children in the opposite order; returns when none is left. May be called again."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def status(self) -> list[ChildStatus]:
        """All children in the order of their start."""
        with self._changed:
            return [child.status() for child in self._children]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor is stopping or a child failed for good; False when the time ran out first.

        Raises:
            ChildFailed: a child that is not to be restarted ended.
        """
        with self._changed:
            ended = self._changed.wait_for(
                lambda: self._stopping.is_set() or self._crash is not None or self._failed() is not None,
                timeout_s,
            )
        if not self._stopping.is_set():
            self._raise_failure()
        return ended

    def _settled(self) -> bool:
        return self._failed() is not None or all(child.state is ChildState.READY for child in self._children)

    def _failed(self) -> _Child | None:
        return next((child for child in self._children if child.state is ChildState.FAILED), None)

    def _raise_failure(self) -> None:
        if self._crash is not None:
            raise self._crash
        child = self._failed()
        if child is None:
            return
        path = log_path(self._logs, child.spec.name)
        lines = tail(path, _LAST_WORDS_LINES)
        last = " | ".join(line.strip() for line in lines[-3:])
        times = f" ({child.failures} times in a row)" if child.failures > 1 else ""
        code = child.last_exit_code
        what = "was not ready in time" if code is None else f"ended with code {code}{times}"
        raise child_failed(
            f"{child.spec.name} {what}: {last or 'its log is empty'}",
            said="\n".join(lines),
            folder=self._logs,
            remedy=f"see {path}",
        )

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                for child in self._children:
                    self._advance(child, time.monotonic())
                self._rotate_logs(time.monotonic())
                self._stopping.wait(_TICK_S)
        except BaseException as error:  # noqa: BLE001 - handed to the caller of start() or wait()
            with self._changed:
                self._crash = error
                self._changed.notify_all()
        finally:
            for child in reversed(self._children):
                self._end(child)

    def _advance(self, child: _Child, now: float) -> None:
        match child.state:
            case ChildState.WAITING:
                if all(
                    other.state is ChildState.READY
                    for other in self._children
                    if other.spec.name in child.spec.after
                ):
                    self._spawn(child, now)
            case ChildState.BACKING_OFF:
                if now >= child.next_start_at:
                    child.restarts += 1
                    self._spawn(child, now)
            case ChildState.STARTING:
                if self._died(child, now):
                    return
                if child.spec.ready():
                    child.ever_ready = True
                    self._set(child, ChildState.READY)
                elif now > child.started_at + child.spec.ready_timeout_s:
                    self._kill(child)
                    child.last_exit_code = None
                    self._set(child, ChildState.FAILED)
            case ChildState.READY:
                self._died(child, now)

    def _spawn(self, child: _Child, now: float) -> None:
        with naming_disk_full(self._logs):
            child.process = spawn(child.spec, self._logs)
            child.ref = ref_of(child.process)
            child.started_at = now
            if child.ref is not None:
                write_pid_file(self._run, child.spec, child.ref)
        self._set(child, ChildState.STARTING)

    def _died(self, child: _Child, now: float) -> bool:
        if child.process is None or not has_ended(child.process):
            return False
        if now - child.started_at >= child.spec.backoff.calm_s:
            child.failures = 0
        child.failures += 1
        self._forget(child)
        attempts = child.spec.backoff.give_up_after if child.ever_ready else child.spec.start_attempts
        again = child.spec.restart and child.failures < attempts
        child.next_start_at = now + child.spec.backoff.delay_s(child.failures)
        self._set(child, ChildState.BACKING_OFF if again else ChildState.FAILED)
        return True

    def _forget(self, child: _Child) -> None:
        """Reap a child that has ended."""
        if child.process is not None:
            child.last_exit_code = reap(child.process)
        child.process = child.ref = None
        pid_file(self._run, child.spec.name).unlink(missing_ok=True)

    def _kill(self, child: _Child) -> None:
        if child.process is not None:
            child.process.kill()
            while not has_ended(child.process):
                time.sleep(_TICK_S)
            self._forget(child)

    def _end(self, child: _Child) -> None:
        """Stop one child: its signal first, SIGKILL after its time."""
        if child.process is not None:
            if not has_ended(child.process):
                child.process.send_signal(child.spec.stop_signal)
            deadline = time.monotonic() + child.spec.stop_timeout_s
            while not has_ended(child.process) and time.monotonic() < deadline:
                time.sleep(_TICK_S)
            if has_ended(child.process):
                self._forget(child)
            else:
                self._kill(child)
        if child.state is not ChildState.FAILED:
            self._set(child, ChildState.STOPPED)

    def _set(self, child: _Child, state: ChildState) -> None:
        with self._changed:
            child.state = state
            self._changed.notify_all()
        if self._on_change is not None:
            self._on_change(child.status())

    def _rotate_logs(self, now: float) -> None:
        if now < self._rotation_due:
            return
        self._rotation_due = now + _ROTATION_CHECK_S
        for child in self._children:
            rotate_if_large(log_path(self._logs, child.spec.name))
