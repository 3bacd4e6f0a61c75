"""A small parent: keeps child processes alive, ends them when it is ended, and gives up when that is no use."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import FrameType
from typing import Final, Protocol

import msgspec
import structlog

_POLL_S: Final = 0.1
_log = structlog.get_logger()


class Member(Protocol):
    """A running child, as ``subprocess.Popen`` shows it."""

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Nothing happens when it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises ``subprocess.TimeoutExpired``."""


Start = Callable[[], Member]
"""Starts a child; called again each time it is needed."""


class Patience(msgspec.Struct, frozen=True):
    """Deaths in a row of one child: each is followed by a longer pause, the last by giving up."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 10.0
    calm_s: float = 60.0
    """A child that lived this long counts as healthy again."""
    deaths: int = 6
    stop_s: float = 15.0
    """How long children may take to end when they are asked to; then they are killed."""

    def pause_s(self, deaths: int) -> float:
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** (deaths - 1))


class _Child(msgspec.Struct):
    name: str
    start: Start
    process: Member | None = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0
    over: bool = False


def keep_alive(
    children: Mapping[str, Start],
    patience: Patience = Patience(),  # noqa: B008 - frozen
    *,
    final: Collection[int] = (),
    meanwhile: Callable[[float], object] | None = None,
) -> int:
    """Run the children until SIGTERM or SIGINT (0), or until one dies again and again (its exit code).

    Call it from the main thread: the children end when it does.

    Args:
        final: exit codes with which a child says that starting it again is no use: it stays ended, the others go on,
            and when the last one has ended so, its code is returned.
        meanwhile: what the parent does between two looks at its children; gets the seconds that it should take.
    """
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    family = [_Child(name, start) for name, start in children.items()]
    pause = stop.wait if meanwhile is None else meanwhile
    try:
        while not stop.is_set():
            for child in family:
                code = _tend(child, patience, final, time.monotonic())
                if code is None or (child.over and not all(one.over for one in family)):
                    continue
                if not child.over:
                    _log.critical("child_gave_up", child=child.name, exit_code=code, deaths=child.deaths)
                return code
            pause(_POLL_S)
        return 0
    finally:
        _stop(family, patience.stop_s)


def _tend(child: _Child, patience: Patience, final: Collection[int], now_s: float) -> int | None:
    """Start the child when it is due. Its last exit code when it has died too often, or is over."""
    if child.over:
        return None
    if child.process is None:
        if now_s >= child.start_at_s:
            child.process = child.start()
            child.started_s = now_s
        return None
    code = child.process.poll()
    if code is None:
        return None
    child.process = None
    if code in final:
        child.over = True
        _log.error("child_over", child=child.name, exit_code=code)
        return code
    child.deaths = 1 if now_s - child.started_s >= patience.calm_s else child.deaths + 1
    if child.deaths >= patience.deaths:
        return code if code > 0 else 128 - code
    child.start_at_s = now_s + patience.pause_s(child.deaths)
    _log.error("child_died", child=child.name, exit_code=code, again_in_s=patience.pause_s(child.deaths))
    return None


def _stop(children: Sequence[_Child], stop_s: float) -> None:
    running = [(child.name, child.process) for child in children if child.process is not None]
    for _, process in running:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # one that is stopped takes its signal only when it goes on
    deadline_s = time.monotonic() + stop_s
    for name, process in running:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("child_killed", child=name, after_s=stop_s)
            process.send_signal(signal.SIGKILL)
            process.wait()
