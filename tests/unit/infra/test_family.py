"""A small parent and its children."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.embedded.processes import process_ref
from infra.members import NotForkable, fork

ROOT = Path(__file__).parents[3]
PARENT = """
import os, signal, sys, time
from pathlib import Path
from infra.family import Patience, keep_alive
from infra.members import fork

def forever(name):
    def run():
        assert Path("/proc/self/comm").read_text().strip() == name
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        print(name, os.getpid(), flush=True)
        while True:
            signal.pause()
    return run

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", os.getpid(), flush=True)
    while True:
        signal.pause()

def ends(name, code):
    def run():
        print(name, os.getpid(), flush=True)
        return code
    return run

quick = Patience(first_pause_s=0.05, deaths=3, stop_s=1.0)
children = {CHILDREN}
print("parent", os.getpid(), flush=True)
sys.exit(keep_alive({{name: fork(name, run) for name, run in children.items()}}, quick, final=(69,)))
"""


class Family:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.started: list[tuple[str, int]] = []
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.said.append(line)
            name, _, pid = line.partition(" ")
            if pid.strip().isdigit():
                self.started.append((name, int(pid)))

    def pids(self, name: str) -> list[int]:
        return [pid for one, pid in self.started if one == name]


@contextmanager
def family(children: str) -> Iterator[Family]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("{CHILDREN}", children).replace("{{", "{").replace("}}", "}")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = Family(process)
    try:
        yield found
    except AssertionError as error:
        error.add_note(f"the parent ({process.poll()}) and its children said: {''.join(found.said)}")
        raise
    finally:
        process.kill()
        process.wait(10)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def gone(pids: list[int]) -> bool:
    return all(process_ref(pid) is None for pid in pids)


def test_one_that_is_killed_is_started_again_and_the_others_go_on() -> None:
    with family('{"a": forever("a"), "b": forever("b")}') as found:
        until(lambda: len(found.started) == 3, "all run")
        os.kill(found.pids("a")[0], signal.SIGKILL)
        until(lambda: len(found.pids("a")) == 2, "it is started again")
        assert len(found.pids("b")) == 1
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(10) == 0
        assert gone([pid for _, pid in found.started])


def test_when_the_parent_is_killed_no_child_is_left() -> None:
    with family('{"a": forever("a"), "b": deaf}') as found:
        until(lambda: len(found.started) == 3, "all run")
        found.process.kill()
        until(lambda: gone([pid for _, pid in found.started]), "the kernel ends them")


def test_a_child_that_does_not_end_is_killed() -> None:
    with family('{"a": forever("a"), "b": deaf}') as found:
        until(lambda: len(found.started) == 3, "all run")
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(10) == 0
        assert gone([pid for _, pid in found.started])


def test_a_child_that_is_paused_ends_with_the_others() -> None:
    with family('{"a": forever("a")}') as found:
        until(lambda: len(found.started) == 2, "all run")
        os.kill(found.pids("a")[0], signal.SIGSTOP)
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(10) == 0


def test_one_that_says_that_it_is_over_is_not_started_again_and_the_last_one_ends_the_parent() -> None:
    with family('{"a": ends("a", 69), "b": forever("b")}') as found:
        until(lambda: len(found.started) == 3, "all run")
        os.kill(found.pids("b")[0], signal.SIGKILL)
        until(lambda: len(found.pids("b")) == 2, "the parent looks on")
        assert len(found.pids("a")) == 1
    with family('{"a": ends("a", 69), "b": ends("b", 69)}') as found:
        assert found.process.wait(20) == 69
        assert len(found.started) == 3


def test_one_that_dies_again_and_again_ends_all_with_its_code() -> None:
    with family('{"a": ends("a", 70), "b": forever("b")}') as found:
        assert found.process.wait(20) == 70
        assert len(found.pids("a")) == 3
        assert gone(found.pids("b"))


def test_a_process_with_threads_does_not_fork() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="busy")
    thread.start()
    try:
        with pytest.raises(NotForkable, match="busy"):
            fork("a", lambda: 0)()
    finally:
        done.set()
        thread.join()
