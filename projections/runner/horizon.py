"""Rows that are kept for a while only: removed by the log's own clock, so that the same prefix leaves the same rows.

The clock of a partition is the newest append time applied in it. Rows of the partition that are older than the
horizon against it are removed in the batch's transaction. The limit moves by full hours, so that removing is rare, and
is a function of the clock alone: however the log was cut into batches, at one vector the same rows stand.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from psycopg import sql

from projections.projection import Cursor, Projection

_HOUR_MS: Final = 3_600_000
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = frozenset(("topic", "partition", "appended_at"))

REMOVE: Final = sql.SQL(
    "delete from {} t using unnest(%s::text[], %s::int[], %s::timestamptz[]) as k(topic, partition, before)"
    " where t.topic = k.topic and t.partition = k.partition and t.appended_at < k.before"
    " and t.appended_at < %s"
)
"""The last condition says nothing new; it is what an index on the time alone can use."""


class Clock:
    """The newest append time applied in one partition, and the oldest one in the open batch."""

    def __init__(self, newest: datetime | None = None) -> None:
        self.newest_ms = 0 if newest is None else (newest - _EPOCH) // _MILLISECOND
        self.oldest_ms: int | None = None
        self.removed_ms: int | None = None
        """The limit up to which rows are removed; None: not known yet."""

    def passed(self, append_ms: int) -> None:
        """A record of the open batch."""
        if append_ms > self.newest_ms:
            self.newest_ms = append_ms
        if self.oldest_ms is None or append_ms < self.oldest_ms:
            self.oldest_ms = append_ms

    @property
    def newest(self) -> datetime:
        """The partition's clock."""
        return _EPOCH + self.newest_ms * _MILLISECOND


class Removal(msgspec.Struct, frozen=True):
    """Rows of one partition that have to go: those appended before ``before``."""

    tables: tuple[str, ...]
    topic: str
    partition: int
    before: datetime


class Horizon(msgspec.Struct, frozen=True):
    """How long rows are kept, and in which tables."""

    keep_ms: int
    tables: tuple[str, ...]

    def removal(self, partition: tuple[str, int], clock: Clock) -> Removal | None:
        """What a batch that is taken now has to remove; None when every row of it and before it may stay."""
        limit_ms = (clock.newest_ms - self.keep_ms) // _HOUR_MS * _HOUR_MS
        late = clock.oldest_ms is not None and clock.oldest_ms < limit_ms
        moved = clock.removed_ms is None or limit_ms > clock.removed_ms
        clock.oldest_ms, clock.removed_ms = None, limit_ms
        if not late and not moved:
            return None
        return Removal(self.tables, *partition, _EPOCH + limit_ms * _MILLISECOND)


def horizon_of(projection: Projection) -> Horizon | None:
    """The declared horizon, with every table that has topic, partition and append time."""
    if projection.horizon is None:
        return None
    tables = tuple(
        table.name for table in projection.metadata.sorted_tables if set(table.c.keys()) >= _COLUMNS
    )
    return Horizon(projection.horizon // _MILLISECOND, tables)


def remove(cursor: Cursor, removals: Sequence[Removal]) -> None:
    """Remove the rows, in the transaction of the batch."""
    if not removals:
        return
    columns = (
        [one.topic for one in removals],
        [one.partition for one in removals],
        [one.before for one in removals],
    )
    newest = max(one.before for one in removals)
    for table in removals[0].tables:
        cursor.execute(REMOVE.format(sql.Identifier(table)), (*columns, newest))
