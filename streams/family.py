"""A small parent: keeps child processes alive, ends them when it is ended, and gives up when that is no use."""

import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

import msgspec
import structlog

from infra.embedded.children import launch_command

_POLL_S: Final = 0.1
_STOP_S: Final = 15.0
_log = structlog.get_logger()


class Patience(msgspec.Struct, frozen=True):
    """Deaths in a row of one child: each is followed by a longer pause, the last by giving up."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 10.0
    calm_s: float = 60.0
    """A child that lived this long counts as healthy again."""
    deaths: int = 6

    def pause_s(self, deaths: int) -> float:
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** (deaths - 1))


class _Child(msgspec.Struct):
    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0


def keep_alive(commands: Mapping[str, Sequence[str]], patience: Patience = Patience()) -> int:  # noqa: B008 - frozen
    """Run the commands until SIGTERM or SIGINT (0), or until one dies again and again (its exit code).

    Call it from the main thread: the children end when it does.
    """
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    children = [_Child(name, command) for name, command in commands.items()]
    try:
        while not stop.wait(_POLL_S):
            for child in children:
                code = _tend(child, patience, time.monotonic())
                if code is not None:
                    _log.critical("child_gave_up", child=child.name, exit_code=code, deaths=child.deaths)
                    return code
        return 0
    finally:
        _stop(children)


def _tend(child: _Child, patience: Patience, now_s: float) -> int | None:
    """Start the child when it is due. Its last exit code when it has died too often."""
    if child.process is None:
        if now_s >= child.start_at_s:
            command = launch_command(tuple(child.command), death_signal=signal.SIGTERM, user=None)
            # A group of its own: Ctrl-C reaches the parent, which then ends the children in order.
            child.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            child.started_s = now_s
        return None
    code = child.process.poll()
    if code is None:
        return None
    child.process = None
    child.deaths = 1 if now_s - child.started_s >= patience.calm_s else child.deaths + 1
    if child.deaths >= patience.deaths:
        return code if code > 0 else 128 - code
    child.start_at_s = now_s + patience.pause_s(child.deaths)
    _log.error("child_died", child=child.name, exit_code=code, again_in_s=patience.pause_s(child.deaths))
    return None


def _stop(children: Sequence[_Child]) -> None:
    running = [
        child.process for child in children if child.process is not None and child.process.poll() is None
    ]
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline_s = time.monotonic() + _STOP_S
    for process in running:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
