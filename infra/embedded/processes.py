"""Which process is meant: a pid alone is not enough, because the kernel gives pids out again."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

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


def stop_process(ref: ProcessRef, *, first: int = signal.SIGTERM, timeout_s: float) -> None:
    """Ask a process that is no child of ours to end, and kill it and its own children after the timeout."""
    below = descendants(ref.pid)
    ref.signal(first)
    deadline = time.monotonic() + timeout_s
    while ref.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    if ref.alive():
        for process in (ref, *below):
            process.signal(signal.SIGKILL)
        while any(process.alive() for process in (ref, *below)):
            time.sleep(0.02)
