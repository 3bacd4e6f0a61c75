"""What a program of ours has done before it starts a thread: in a process of its own, since this one has everything loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LEARNING = """
import sys
import msgspec
from streams import app_process

def structs():
    found, left = set(), [msgspec.Struct]
    while left:
        for one in left.pop().__subclasses__():
            found.add(one)
            left.append(one)
    return found

class Learnt(Exception):
    pass

def learn_all():
    raise Learnt

app_process.learn_all = learn_all
try:
    app_process.run_app(None, sys.argv[1])
except Learnt:
    known = structs()
__import__(f"streams.{sys.argv[1]}")
print(len(known))
print(sorted(one.__qualname__ for one in structs() - known))
"""
FORKING = """
import os
import api.cli.projection_commands, projections.process, streams.app_process, streams.hands, streams.heads
print(len(os.listdir("/proc/self/task")))
"""


def said_by(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("app", ["hands", "heads"])
def test_a_single_app_has_loaded_its_shapes_before_they_are_learnt(app: str) -> None:
    number, missing = said_by(LEARNING, app)
    assert int(number) > 200
    assert missing == "[]"


def test_what_parents_load_before_they_fork_starts_no_thread() -> None:
    assert said_by(FORKING) == ["1"]
