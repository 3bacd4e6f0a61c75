"""Bugs and losses that a test switches on, to see what mends them, or that its checker sees them.

Nothing of this is reachable without an environment variable that only tests set:
``MILLSTREAM_TEST_DROP=<agent>[:<number>]`` acknowledges the first ``number`` batches of an agent without work, each
noted in the file ``MILLSTREAM_TEST_FAULT_MARKER``; ``MILLSTREAM_TEST_BUG=acknowledge_on_failure`` acknowledges
batches whose handler failed, as Faust itself would; ``MILLSTREAM_TEST_AGENT_FAILS=<agent>:<nth>`` makes the nth batch
of an agent fail; ``MILLSTREAM_TEST_SILENCE=<timer>`` keeps a timer from ever running. ``MILLSTREAM_TEST_BUG=leave_behind``
leaves alone what stands as being processed although nobody works on it; ``MILLSTREAM_TEST_BUG=positions_first`` says what a monitor
has searched before it says what was found. ``MILLSTREAM_TEST_DIES=<point>[:<nth>]`` kills the process with SIGKILL when the point is
passed for the nth time.
"""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from schemas.envelope import Position
from streams.agent import AgentSpec, Context, Outgoing, Received

DROP_VARIABLE: Final = "MILLSTREAM_TEST_DROP"
FAILS_VARIABLE: Final = "MILLSTREAM_TEST_AGENT_FAILS"
SILENCE_VARIABLE: Final = "MILLSTREAM_TEST_SILENCE"
BUG_VARIABLE: Final = "MILLSTREAM_TEST_BUG"
MARKER_VARIABLE: Final = "MILLSTREAM_TEST_FAULT_MARKER"
ACKNOWLEDGE_ON_FAILURE: Final = "acknowledge_on_failure"
LEAVE_BEHIND: Final = "leave_behind"
POSITIONS_FIRST: Final = "positions_first"
DIES_VARIABLE: Final = "MILLSTREAM_TEST_DIES"
SEARCHED: Final = "searched"
"""What is new for a monitor was found, and nobody was told."""

_passed: Counter[str] = Counter()


class MadeToFail(Exception):
    """A failure that a test asked for. No error of the system: nothing may know how to mend it."""


def under_test(spec: AgentSpec) -> AgentSpec:
    """``spec`` as it is, but for the losses and failures that a test asked for."""
    dropped = _wanted(DROP_VARIABLE, spec.name)
    failing = _wanted(FAILS_VARIABLE, spec.name)
    if not dropped and not failing:
        return spec
    batches = 0
    lost: set[Position] = set()

    async def handle(batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        nonlocal batches
        batches += 1
        places = f"{batch[0].position} to {batch[-1].position}"
        if batches <= dropped:
            _note(f"dropped {spec.name} {places}")
            lost.update(one.position for one in batch)
            return ()
        batch = [one for one in batch if one.position not in lost]  # nor after a rebalance
        if not batch:
            return ()
        if batches == failing:
            _note(f"failed {spec.name} {places}")
            raise MadeToFail(f"batch {batches} of {spec.name} fails because a test asked for it")
        return await spec.handler(batch, context)

    return msgspec.structs.replace(spec, handler=handle)


def silences(timer: str) -> bool:
    """Whether a test wants this timer not to run."""
    return os.environ.get(SILENCE_VARIABLE) == timer


def acknowledges_failures() -> bool:
    """Whether a test switched this bug on."""
    return os.environ.get(BUG_VARIABLE) == ACKNOWLEDGE_ON_FAILURE


def leaves_behind() -> bool:
    """Whether a test switched this bug on."""
    return os.environ.get(BUG_VARIABLE) == LEAVE_BEHIND


def moves_positions_first() -> bool:
    """Whether a test switched this bug on."""
    return os.environ.get(BUG_VARIABLE) == POSITIONS_FIRST


def reached(point: str) -> None:
    """Die here when a test asked for it."""
    wanted = _wanted(DIES_VARIABLE, point)
    if wanted:
        _passed[point] += 1
        if _passed[point] == wanted:
            os.kill(os.getpid(), signal.SIGKILL)


def _wanted(variable: str, wanted: str) -> int:
    name, _, number = os.environ.get(variable, "").partition(":")
    return int(number or "1") if name == wanted else 0


def _note(line: str) -> None:
    with Path(os.environ[MARKER_VARIABLE]).open("a", encoding="utf-8") as marker:
        marker.write(line + "\n")
