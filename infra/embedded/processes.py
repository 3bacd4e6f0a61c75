"""Which process is meant: a pid alone is not enough, because the kernel gives pids out again."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_S = 0.02
_STATE_FIELD = 0
_START_TICKS_FIELD = 19
"""Positions in ``/proc/<pid>/stat`` after the closing parenthesis of the program's name."""


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process of this boot: its pid and when it started, in clock ticks since boot."""

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether this very process runs (a zombie does not)."""
        return process_ref(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal if this very process still runs; whether it was sent."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def process_ref(pid: int) -> ProcessRef | None:
    """The process with this pid, or None when there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may hold spaces and parentheses, so cut after the last one.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[_STATE_FIELD] in (b"Z", b"X"):
        return None
    return ProcessRef(pid=pid, start_ticks=int(fields[_START_TICKS_FIELD]))


def own_ref() -> ProcessRef:
    """The process that asks."""
    ref = process_ref(os.getpid())
    if ref is None:  # only without /proc
        raise RuntimeError("cannot read /proc/self/stat")
    return ref


def descendants(pid: int) -> list[ProcessRef]:
    """All living processes below this one."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    refs = (process_ref(child.pid) for child in children)
    return [ref for ref in refs if ref is not None]


def stop_processes(wanted: Mapping[ProcessRef, int], *, timeout_s: float) -> None:
    """Ask processes that are no children of ours to end, each with its signal; kill those that have not after the timeout.

    What the killed ones started is killed with them.
    """
    below = [child for ref in wanted for child in descendants(ref.pid)]
    for ref, number in wanted.items():
        ref.signal(number)
        ref.signal(signal.SIGCONT)  # one that is stopped takes its signal only when it goes on
    deadline = time.monotonic() + timeout_s
    while any(ref.alive() for ref in wanted) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if any(ref.alive() for ref in wanted):
        everything = [*wanted, *below]
        for process in everything:
            process.signal(signal.SIGKILL)
        while any(process.alive() for process in everything):
            time.sleep(_POLL_S)
