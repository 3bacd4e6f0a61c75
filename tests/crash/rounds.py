"""How often faults strike, and when: a seed repeats a failure.

``MILLSTREAM_TEST_CRASH_ROUNDS`` (5; ``make soak`` gives 50) and ``MILLSTREAM_TEST_SEED`` (else by the clock) choose.
"""

import os
import random
import time
from collections.abc import Iterator
from typing import Final

ROUNDS: Final = int(os.environ.get("MILLSTREAM_TEST_CRASH_ROUNDS", "5"))
SEED: Final = int(os.environ.get("MILLSTREAM_TEST_SEED", str(time.time_ns() % 1_000_000)))
SOAK_S: Final = 60.0
"""How long a round may take at most: the limit of a test grows with the rounds."""

_FEW: Final = 5
_MANY: Final = 50


def grown(small: float, full: float) -> float:
    """How much of something: ``small`` at five rounds, ``full`` at fifty, in between and beyond in proportion."""
    return small + (full - small) * max(0.0, (ROUNDS - _FEW) / (_MANY - _FEW))


def moments(least_s: float, most_s: float, rounds: int = ROUNDS) -> Iterator[float]:
    """One wait per round, in seconds, from the seed; printed, so that a failure can be repeated."""
    print(f"MILLSTREAM_TEST_SEED={SEED} rounds={rounds}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(SEED)
    for _ in range(rounds):
        yield chance.uniform(least_s, most_s)
