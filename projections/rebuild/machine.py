"""The states of a rebuild and what leads from one to another. Pure; the row in ``runtime.rebuilds`` holds the state."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class RebuildState(StrEnum):
    """Where a rebuild stands."""

    ORDERED = "ORDERED"
    """Nobody works on it yet (or not any more: it goes on from its checkpoints)."""
    FILLING = "FILLING"
    """The log is folded into the new generation."""
    PAUSED = "PAUSED"
    """Somebody asked for a pause; it stands still until it is resumed."""
    VERIFYING = "VERIFYING"
    """Both generations are compared at one vector, and swapped."""
    READY = "READY"
    """Filled and compared, and not swapped: it was not to be, or somebody has to accept what differs."""
    SWAPPED = "SWAPPED"
    """Readers use it."""
    CANCELLED = "CANCELLED"
    """Given up; its schema is dropped."""
    FAILED = "FAILED"
    """It cannot go on by itself; the reason says why."""


class Step(StrEnum):
    """What happens to a rebuild."""

    TAKE = "take"
    """A worker that holds the lock begins, or goes on after another one died."""
    FILLED = "filled"
    """The new generation is close to the end."""
    VERIFIED = "verified"
    """Compared, and not to be swapped now."""
    SWAP = "swap"
    FAIL = "fail"
    LET_GO = "let_go"
    """The worker's process ends: somebody else may go on."""
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    ACCEPT = "accept"
    """A person agrees with what differs, and wants the swap."""


_STATE = RebuildState
TRANSITIONS: Final[Mapping[tuple[RebuildState, Step], RebuildState]] = {
    (_STATE.ORDERED, Step.TAKE): _STATE.FILLING,
    (_STATE.FILLING, Step.TAKE): _STATE.FILLING,
    (_STATE.VERIFYING, Step.TAKE): _STATE.FILLING,
    (_STATE.FILLING, Step.FILLED): _STATE.VERIFYING,
    (_STATE.VERIFYING, Step.VERIFIED): _STATE.READY,
    (_STATE.VERIFYING, Step.SWAP): _STATE.SWAPPED,
    (_STATE.FILLING, Step.FAIL): _STATE.FAILED,
    (_STATE.VERIFYING, Step.FAIL): _STATE.FAILED,
    (_STATE.FILLING, Step.LET_GO): _STATE.ORDERED,
    (_STATE.VERIFYING, Step.LET_GO): _STATE.ORDERED,
    (_STATE.ORDERED, Step.PAUSE): _STATE.PAUSED,
    (_STATE.FILLING, Step.PAUSE): _STATE.PAUSED,
    (_STATE.VERIFYING, Step.PAUSE): _STATE.PAUSED,
    (_STATE.PAUSED, Step.RESUME): _STATE.ORDERED,
    (_STATE.FAILED, Step.RESUME): _STATE.ORDERED,
    (_STATE.READY, Step.ACCEPT): _STATE.ORDERED,
    (_STATE.FAILED, Step.ACCEPT): _STATE.ORDERED,
    (_STATE.ORDERED, Step.CANCEL): _STATE.CANCELLED,
    (_STATE.FILLING, Step.CANCEL): _STATE.CANCELLED,
    (_STATE.PAUSED, Step.CANCEL): _STATE.CANCELLED,
    (_STATE.VERIFYING, Step.CANCEL): _STATE.CANCELLED,
    (_STATE.READY, Step.CANCEL): _STATE.CANCELLED,
    (_STATE.FAILED, Step.CANCEL): _STATE.CANCELLED,
}
"""Every step that is possible; what is not here is refused."""
OPEN: Final = frozenset({_STATE.ORDERED, _STATE.FILLING, _STATE.PAUSED, _STATE.VERIFYING})
"""One rebuild of a projection at a time is in one of these."""
TO_TAKE: Final = frozenset({_STATE.ORDERED, _STATE.FILLING, _STATE.VERIFYING})
"""Whoever gets the lock goes on with these."""
ENDED: Final = frozenset({_STATE.SWAPPED, _STATE.CANCELLED})
"""Nothing leads out of these."""


def after(state: RebuildState, step: Step) -> RebuildState | None:
    """The state that ``step`` leads to; None where it is not possible."""
    return TRANSITIONS.get((state, step))


def sources(step: Step) -> dict[RebuildState, RebuildState]:
    """From which states ``step`` is possible, and where each leads."""
    return {state: to for (state, taken), to in TRANSITIONS.items() if taken is step}
