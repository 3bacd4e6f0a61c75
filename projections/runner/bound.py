"""How far a replay may read: ends that may be moved on while it goes on, and what was read too early. No Kafka here."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from projections.runner.checkpoint import Partition
from schemas.envelope import Record

MOST_KEPT: Final = 20_000
"""Records of one partition that wait behind its end before it is read no further."""
MOST_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of the values that wait, of all partitions together."""


class Bound:
    """The ends of the partitions that are read; shared by the thread that reads and the one that decides."""

    def __init__(self, ends: Mapping[Partition, int]) -> None:
        self._ends = dict(ends)
        self._lock = threading.Lock()
        self.moves = 0
        """Grows whenever an end did."""

    def ends(self) -> dict[Partition, int]:
        """The next offset of each partition that may not be read."""
        with self._lock:
            return dict(self._ends)

    def move(self, ends: Mapping[Partition, int]) -> None:
        """Let each partition be read up to here; an end never moves back, and no partition is added."""
        with self._lock:
            further = {
                place: end for place, end in ends.items() if place in self._ends and end > self._ends[place]
            }
            if further:
                self._ends |= further
                self.moves += 1


class Gate:
    """Lets the records before the bound pass and keeps the others until it has moved. For one thread.

    ``pause`` and ``resume`` name partitions of which enough, or nothing, is kept since they were asked for last.
    """

    def __init__(
        self, bound: Bound, most_kept: int = MOST_KEPT, most_kept_bytes: int = MOST_KEPT_BYTES
    ) -> None:
        self._bound: Final = bound
        self._most_kept: Final = most_kept
        self._most_kept_bytes: Final = most_kept_bytes
        self._kept_bytes = 0
        self._seen = -1
        self._ends: dict[Partition, int] = {}
        self._kept: dict[Partition, deque[Record]] = {}
        self._paused: set[Partition] = set()

    @property
    def partitions(self) -> list[Partition]:
        """Everything that is read at all."""
        return sorted(self._bound.ends())

    def passed(self, records: Sequence[Record]) -> list[Record]:
        """Of what was just read, the records that may be folded now; the others are kept."""
        self._look()
        through: list[Record] = []
        for one in records:
            place = (one.topic, one.partition)
            kept = self._kept.get(place)
            if kept or one.offset >= self._ends.get(place, 0):
                self._kept.setdefault(place, deque()).append(one)
                self._kept_bytes += len(one.value or b"")
            else:
                through.append(one)
        return through

    def released(self, most: int) -> list[Record]:
        """Kept records that the bound has reached, at most so many."""
        if not self._kept:
            return []
        self._look()
        through: list[Record] = []
        for place, kept in list(self._kept.items()):
            end = self._ends.get(place, 0)
            while kept and kept[0].offset < end and len(through) < most:
                through.append(one := kept.popleft())
                self._kept_bytes -= len(one.value or b"")
            if not kept:
                del self._kept[place]
        return through

    def pause(self) -> list[Partition]:
        """Partitions to read no further for now."""
        full = self._kept_bytes >= self._most_kept_bytes
        found = [
            place
            for place, kept in self._kept.items()
            if (full or len(kept) >= self._most_kept) and place not in self._paused
        ]
        self._paused.update(found)
        return found

    def resume(self) -> list[Partition]:
        """Partitions to read on."""
        found = [place for place in self._paused if place not in self._kept]
        self._paused.difference_update(found)
        return found

    def _look(self) -> None:
        if self._bound.moves != self._seen:
            self._seen = self._bound.moves
            self._ends = self._bound.ends()
