"""Tests side by side: ``make test`` runs three processes, each with stacks of its own; what measures time runs while nothing else does.

A module stays in one process, so its fixtures are made once, and all that use the shared whole system stay in one: ten processes of it
in each would take from the others what they need. A test marked ``alone`` waits until the other processes are
between two tests and keeps them there; modules that hold such tests come last, so that little is waited for.
"""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_ALONE: Final = "alone"
_GATE: Final = Path(__file__)
_ROAD: Final = _GATE.parent
"""What is locked is there in every checkout, and needs no cleaning up."""


_SYSTEMS: Final = ("tests/browser/", "tests/integration/system/")
"""Where the fixture ``system`` is used."""


class OneSystem(LoadFileScheduling):  # type: ignore[misc]
    """One process after the other gets a module; the first one all modules that use the whole system."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "system" if scope.startswith(_SYSTEMS) else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneSystem:
    """How tests are given to the processes."""
    return OneSystem(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with tests that run alone come last; otherwise the order stays: ``unit`` at the end, which evens out.

    Modules that use the whole system come first: it stops behind them, and is not left running beside others.
    """
    last = {item.path for item in items if item.get_closest_marker(_ALONE)}
    first = {item.path for item in items if uses_system(item)}
    items.sort(key=lambda item: (item.path in last, item.path not in first))


def uses_system(item: pytest.Item) -> bool:
    """Whether a test asks for the fixture ``system``, itself or by others."""
    if not isinstance(item, pytest.Function) or "system" not in item.fixturenames:
        return False
    return not hasattr(item, "callspec") or "system" not in item.callspec.params


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold the road while a test runs, with its set-up and what it tears down. Waiting for it counts against no time limit."""
    alone = item.get_closest_marker(_ALONE) is not None
    with _road(alone=alone) if hasattr(item.config, "workerinput") else nullcontext():
        return (yield)


@contextmanager
def _road(*, alone: bool) -> Iterator[None]:
    """One of many, or the only one. Who wants to be the only one holds the gate meanwhile, so that nobody overtakes."""
    gate, road = os.open(_GATE, os.O_RDONLY), os.open(_ROAD, os.O_RDONLY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(road, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        os.close(road)
        os.close(gate)
