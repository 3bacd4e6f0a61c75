"""Bugs and losses that a test switches on, to see what mends them, or that its checker sees them.

Nothing of this is reachable without an environment variable that only tests set:
``MILLSTREAM_TEST_DROP=<agent>[:<number>]`` acknowledges the first ``number`` batches of an agent without work, each
noted in the file ``MILLSTREAM_TEST_FAULT_MARKER``; ``MILLSTREAM_TEST_BUG=acknowledge_on_failure`` acknowledges
batches whose handler failed, as Faust itself would; ``MILLSTREAM_TEST_AGENT_FAILS=<agent>:<nth>`` makes the nth batch
of an agent fail; ``MILLSTREAM_TEST_SILENCE=<timer>`` keeps a timer from ever running.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.agent import AgentSpec, Context, Outgoing, Received

DROP_VARIABLE: Final = "MILLSTREAM_TEST_DROP"
FAILS_VARIABLE: Final = "MILLSTREAM_TEST_AGENT_FAILS"
SILENCE_VARIABLE: Final = "MILLSTREAM_TEST_SILENCE"
BUG_VARIABLE: Final = "MILLSTREAM_TEST_BUG"
MARKER_VARIABLE: Final = "MILLSTREAM_TEST_FAULT_MARKER"
ACKNOWLEDGE_ON_FAILURE: Final = "acknowledge_on_failure"


class MadeToFail(Exception):
    """A failure that a test asked for. No error of the system: nothing may know how to mend it."""


def under_test(spec: AgentSpec) -> AgentSpec:
    """``spec`` as it is, but for the losses and failures that a test asked for."""
    dropped = _wanted(DROP_VARIABLE, spec.name)
    failing = _wanted(FAILS_VARIABLE, spec.name)
    if not dropped and not failing:
        return spec
    batches = 0

    async def handle(batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        nonlocal batches
        batches += 1
        places = f"{batch[0].position} to {batch[-1].position}"
        if batches <= dropped:
            _note(f"dropped {spec.name} {places}")
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


def _wanted(variable: str, agent: str) -> int:
    name, _, number = os.environ.get(variable, "").partition(":")
    return int(number or "1") if name == agent else 0


def _note(line: str) -> None:
    with Path(os.environ[MARKER_VARIABLE]).open("a", encoding="utf-8") as marker:
        marker.write(line + "\n")
