"""How long a repository rests for a monitor whose runs there fail, one after the other. Pure.

It follows from the runs: what an outcome that succeeded has followed is forgotten, and so is what failed before somebody asked for a run, and
before the monitor began (its query was edited). A resting pair begins no run, whatever is pushed; the next one covers it all. What was
pruned from the history counts no more: what fails for days is tried some times a day.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.events import FiringCause

FIRST: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(hours=24)
_DOUBLINGS: Final = 16


class FailedRun(msgspec.Struct, frozen=True):
    """A run that failed, ``at``."""

    at: datetime
    cause: str | None


def rests_until(failed: Iterable[FailedRun]) -> datetime | None:
    """Until when nothing is begun; ``failed`` are the runs since the last that succeeded. None: nothing failed."""
    last: datetime | None = None
    count = 0
    for one in sorted(failed, key=lambda one: one.at):
        count = 1 if one.cause == FiringCause.ASKED else count + 1
        last = one.at
    if last is None:
        return None
    return last + min(FIRST * (1 << min(count - 1, _DOUBLINGS)), LONGEST)
