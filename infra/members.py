"""How a small parent (``infra.family``) starts a child: as a fork of itself.

The child dies with the thread that started it, in a session of its own: Ctrl-C reaches the parent, which then ends
its children in order.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from infra.family import Member, Start
from schemas.errors import MillstreamError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_STOP_SIGNALS: Final = frozenset((signal.SIGTERM, signal.SIGINT))


class NotForkable(MillstreamError):
    """The parent has threads already: a fork would copy locks that nobody ever gives back."""


def fork(name: str, run: Callable[[], int], *, death_signal: int = signal.SIGKILL) -> Start:
    """``run`` in a copy of the parent, which shares its memory: modules are loaded once, and not per child.

    The parent must have neither threads nor connections, whenever a child is started. ``run`` gives the exit code and sets
    its own signal handlers. ``name`` is what ``ps -o comm`` shows of it (15 bytes).

    Raises (when it starts):
        NotForkable: the parent has more than one thread.
    """

    def start() -> Member:
        threads = len(list(Path("/proc/self/task").iterdir()))  # those of libraries too
        if threads > 1:
            raise NotForkable(
                f"{name} cannot be forked: this process runs {threads} threads, known by name: "
                + ", ".join(sorted(thread.name for thread in threading.enumerate())),
                remedy="Start the children first, threads after them or in them.",
            )
        parent = os.getpid()

        def begin() -> None:
            os.setsid()
            _control(_PR_SET_NAME, name.encode())
            die_with(parent, death_signal)
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            raise SystemExit(run())

        process = multiprocessing.get_context("fork").Process(target=begin, name=name)
        # A signal that came before the child has handlers of its own would be taken by the parent's, and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        return _Forked(process)

    return start


class _Forked:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send us this signal when the parent, or its thread that started us, ends in any way. Raises OSError."""
    _control(_PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != parent:
        os._exit(128 + death_signal)  # it died before we asked


def _control(option: int, value: int | bytes) -> None:
    """``prctl``. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
