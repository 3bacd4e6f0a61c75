"""What a projection is: a name and version, its topics, its tables, a pure fold and a writer (DESIGN 7)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Protocol, TypeAlias, TypeVar

import msgspec
import psycopg
from sqlalchemy import MetaData

from projections.folding import Folding
from schemas.topics import Topic

Cursor: TypeAlias = "psycopg.Cursor[tuple[object, ...]]"
Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
Changes = TypeVar("Changes")
Write = Callable[[Cursor], int]
"""Writes one batch's changes in the caller's transaction; the number of rows written."""
Prepare = Callable[[Sequence[Folding]], Write]
"""Folds events (partition order within each partition) into a write to be run later.

Pure but for the write itself, so that it can run while the batch before it is being written.
"""


class Gatherer(Protocol):
    """Folds a batch of one assignment piece by piece, as it is read, so that its events need not be kept until it is whole.

    ``add`` takes events in the order of their partitions, ``take`` gives the write of all that was added since the last one. It may
    rely on being the only one that writes what lies on its partitions, and is told to ``forget`` that when something of the assignment
    is written by ``Projection.prepare`` instead: a batch in parts, or what was in quarantine.
    """

    def add(self, events: Sequence[Folding], /) -> None: ...
    def take(self) -> Write: ...
    def forget(self) -> None: ...


class Bulk(msgspec.Struct, frozen=True):
    """How a generation is filled while nobody reads it: the primary keys of ``keyless`` tables are built last.

    ``begin`` is asked as ``Projection.gatherer`` is (None: the projection's own folding needs none of these keys); its second
    argument says that nothing of the assigned partitions was ever applied. ``prepare`` stands for the projection's own where batches are
    folded whole. ``finish`` runs before the keys are built, on
    a connection of the generation and as often as a rebuild is taken up again: it removes what a writer could not look for without them.
    """

    keyless: frozenset[str]
    begin: "Callable[[Connection, bool], Gatherer | None] | None" = None
    prepare: "Prepare | None" = None
    finish: "Callable[[Connection], None] | None" = None


Compute = Callable[[], Write]
"""The pure and costly part of a derive step, outside of any transaction; what it gives writes what is missing, changed or gone."""


class Derive(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that follow from a projection's own base tables, for one key at a time (DESIGN section 7).

    ``dirty`` is the ``projections.dirt.dirty_table`` that says which keys are stale; ``key`` is its column, which the derived
    ``tables`` have too. ``read`` takes the base rows of one key, in one snapshot. Nothing else may be seen: no clock, no other key. So
    however the log was cut, and whenever this ran, a key that is not stale has the rows that its base rows ask for.
    """

    dirty: str
    key: str
    tables: frozenset[str]
    read: Callable[[Cursor, int], Compute]


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

    ``gatherer`` is asked at every assignment, behind the claim, on a connection of the generation, and told whether
    nothing of the assigned partitions was ever applied; None: batches are folded whole, by ``prepare``.
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
    gatherer: Callable[[Connection, bool], Gatherer | None] | None = None
    bulk: Bulk | None = None
    derive: Derive | None = None


def prepared(
    fold: Callable[[Sequence[Folding]], Changes], write: Callable[[Cursor, Changes], int]
) -> Prepare:
    """A pure fold and a writer as one step of the runner."""

    def prepare(events: Sequence[Folding]) -> Write:
        changes = fold(events)
        return lambda cursor: write(cursor, changes)

    return prepare
