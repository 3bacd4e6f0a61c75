"""Where a group shall read next, partition by partition. Pure: watermarks, committed offsets and the wish come in."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

import msgspec

from infra.kafka.admin import Partition, Watermarks


class To(Enum):
    """What was wished for."""

    EARLIEST = "to-earliest"
    LATEST = "to-latest"
    OFFSET = "to-offset"
    TIME = "to-time"
    SHIFT = "shift"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is the offset, or the shift; ``time`` the append time of the first record to read."""

    to: To
    number: int = 0
    time: datetime | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One partition. ``before`` None: nothing was committed; ``after`` None: it is left as it is, ``note`` says why.

    ``again`` records will be read a second time, ``left_out`` ones never (by this group).
    """

    topic: str
    partition: int
    before: int | None
    after: int | None
    note: str = ""

    @property
    def place(self) -> Partition:
        return self.topic, self.partition

    @property
    def changes(self) -> bool:
        return self.after is not None and self.after != self.before

    def again(self, marks: Watermarks) -> int:
        if self.after is None or self.before is None:
            return 0
        return max(0, min(self.before, marks.end) - max(self.after, marks.start))

    def left_out(self, marks: Watermarks) -> int:
        if self.after is None:
            return 0
        at = marks.start if self.before is None else max(self.before, marks.start)
        return max(0, self.after - at)


def moves(
    wish: Wish,
    marks: Mapping[Partition, Watermarks],
    committed: Mapping[Partition, int],
    at_time: Mapping[Partition, int | None],
) -> list[Move]:
    """One per partition of ``marks``, in order; ``at_time`` is asked for with ``To.TIME`` alone."""
    found: list[Move] = []
    for place, at in sorted(marks.items()):
        before = committed.get(place)
        wanted, note = _wanted(wish, at, before, at_time.get(place))
        if wanted is not None and not at.start <= wanted <= at.end:
            note = f"{wanted} is not on the log, which goes from {at.start} to {at.end}"
            wanted = min(max(wanted, at.start), at.end)
        found.append(Move(topic=place[0], partition=place[1], before=before, after=wanted, note=note))
    return found


def _wanted(wish: Wish, marks: Watermarks, before: int | None, at_time: int | None) -> tuple[int | None, str]:
    match wish.to:
        case To.EARLIEST:
            return marks.start, ""
        case To.LATEST:
            return marks.end, ""
        case To.OFFSET:
            return wish.number, ""
        case To.TIME:
            if at_time is None:
                return marks.end, "nothing was appended since then"
            return at_time, ""
        case To.SHIFT:
            if before is None:
                return None, "nothing was committed: there is nothing to shift"
            return before + wish.number, ""
