"""What a projection is: a name and version, its topics, its tables, a pure fold and a writer (DESIGN 7)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import TypeAlias, TypeVar

import msgspec
import psycopg
from sqlalchemy import MetaData

from projections.folding import Folding
from schemas.topics import Topic

Cursor: TypeAlias = "psycopg.Cursor[tuple[object, ...]]"
Changes = TypeVar("Changes")
Write = Callable[[Cursor], int]
"""Writes one batch's changes in the caller's transaction; the number of rows written."""
Prepare = Callable[[Sequence[Folding]], Write]
"""Folds events (partition order within each partition) into a write to be run later.

Pure but for the write itself, so that it can run while the batch before it is being written.
"""


class Decoding(Enum):
    """How much of an event a projection needs."""

    WHOLE = "whole"
    ENVELOPE = "envelope"
    """No payload, no verdict: its fold sees every event that stands on the log, whatever became of it (``schemas.unread``).
    Records without an envelope are passed over; they are dead letters of the other projections."""


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one projection.

    ``metadata`` carries the projection's name as its schema: a placeholder that a generation's schema
    replaces. ``restricted`` names, per table, the column that holds the repository by which row security
    hides rows. ``bookkeeping`` names columns that are out of the checksum, because a topic that expires feeds
    them; such topics are ``transient``. ``owns`` are the guarded topics whose verdicts it writes down.

    ``horizon``: rows of a partition are removed once they are older than that against the newest append time applied
    there (``projections.runner.horizon``), from the tables that have the columns topic, partition and appended_at.
    """

    name: str
    version: int
    topics: tuple[Topic, ...]
    metadata: MetaData
    prepare: Prepare
    restricted: Mapping[str, str] = {}
    bookkeeping: Mapping[str, frozenset[str]] = {}
    transient: frozenset[Topic] = frozenset()
    owns: frozenset[Topic] = frozenset()
    decoding: Decoding = Decoding.WHOLE
    horizon: timedelta | None = None


def prepared(
    fold: Callable[[Sequence[Folding]], Changes], write: Callable[[Cursor, Changes], int]
) -> Prepare:
    """A pure fold and a writer as one step of the runner."""

    def prepare(events: Sequence[Folding]) -> Write:
        changes = fold(events)
        return lambda cursor: write(cursor, changes)

    return prepare
