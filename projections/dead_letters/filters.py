"""Which of the records that were put aside somebody means."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from schemas.envelope import Position


class Kind(StrEnum):
    """Why a record was put aside."""

    DEAD_LETTER = "dead-letter"
    """It is no event: it can be dropped, never folded."""
    QUARANTINED = "quarantined"
    """It meets a bug in the fold, or waits behind one of its aggregate that does."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is named has to hold; nothing named is everything.

    ``reason`` and ``path`` are parts of the text, whatever the case. ``since`` and ``until`` are append times, the second exclusive.
    ``waiting``: also what waits behind an event at fault, each as an entry of its own.
    """

    projections: tuple[str, ...] = ()
    kind: Kind | None = None
    topic: str | None = None
    position: Position | None = None
    aggregate: str | None = None
    reason: str | None = None
    path: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    waiting: bool = False

    @property
    def names_nothing(self) -> bool:
        """Whether it would take everything of every projection."""
        return msgspec.structs.replace(self, waiting=False) == _EVERYTHING


_EVERYTHING: Final = Filter()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was put aside. ``aggregate`` is the record key as text; ``waiting`` counts the events behind it.

    ``behind`` is the offset of the event that it waits behind.
    """

    projection: str
    generation: int
    kind: Kind
    topic: str
    partition: int
    offset: int
    aggregate: str
    append_time: datetime
    reason: str
    path: str
    size_bytes: int
    waiting: int
    behind: int | None

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    @property
    def key(self) -> "Key":
        """By which the entries are ordered, the newest first."""
        return (self.append_time, self.projection, self.topic, self.partition, self.offset)


Key = tuple[datetime, str, str, int, int]
