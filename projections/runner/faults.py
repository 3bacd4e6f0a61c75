"""Named points at which a test kills the process, and bugs that it switches on to see its checker fail.

Nothing of this is reachable without an environment variable that only tests set:
``MILLSTREAM_TEST_FAULT=<projection>:<point>[:<nth>]`` kills this process with SIGKILL when the point is passed for the
nth time, after writing the point's name to the file ``MILLSTREAM_TEST_FAULT_MARKER``; ``MILLSTREAM_TEST_STOP`` of the
same form pauses it there with SIGSTOP instead; ``MILLSTREAM_TEST_BUG=<name>``
switches a bug on.
"""

import os
import signal
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Final

FAULT_VARIABLE: Final = "MILLSTREAM_TEST_FAULT"
STOP_VARIABLE: Final = "MILLSTREAM_TEST_STOP"
MARKER_VARIABLE: Final = "MILLSTREAM_TEST_FAULT_MARKER"
BUG_VARIABLE: Final = "MILLSTREAM_TEST_BUG"


class Point(StrEnum):
    """Where the projector can be killed."""

    BEFORE_WRITE = "before_write"
    AFTER_WRITE_BEFORE_COMMIT = "after_write_before_commit"
    AFTER_COMMIT_BEFORE_KAFKA_COMMIT = "after_commit_before_kafka_commit"
    REDRIVEN_BEFORE_COMMIT = "redriven_before_commit"
    REDRIVEN = "redriven"
    """A step of an order is committed; there may be more of it."""
    DERIVED_BEFORE_COMMIT = "derived_before_commit"


class Bug(StrEnum):
    """What a projector must never do."""

    OFFSETS_FIRST = "offsets_first"
    """The checkpoint is committed before the rows."""
    NO_FENCING = "no_fencing"
    """The compare-and-set of the checkpoint compares nothing: whoever was paused writes on."""
    REDRIVE_LETS_GO = "redrive_lets_go"
    """An aggregate's later events are folded while its queued ones are still being redriven."""
    NO_LOG_CHECK = "no_log_check"
    """Nobody looks whether the log is the one that was folded, at an assignment."""
    NO_HOLD = "no_hold"
    """Readers are led to another generation without holding the old one's checkpoints, and without waiting for the new one."""


_SIGNALS: Final = {FAULT_VARIABLE: signal.SIGKILL, STOP_VARIABLE: signal.SIGSTOP}
_passed: Counter[tuple[str, Point]] = Counter()


def reached(projection: str, point: Point) -> None:
    """Die or pause here when a test asked for it."""
    wanted = {
        number: found
        for variable, number in _SIGNALS.items()
        if (found := os.environ.get(variable)) is not None
        and found.split(":")[:2] == [projection, point.value]
    }
    if not wanted:
        return
    _passed[projection, point] += 1
    for number, found in wanted.items():
        if _passed[projection, point] == int([*found.split(":"), "1"][2]):
            Path(os.environ[MARKER_VARIABLE]).write_text(found)
            os.kill(os.getpid(), number)


def has(bug: Bug) -> bool:
    """Whether a test switched this bug on."""
    return os.environ.get(BUG_VARIABLE) == bug.value
