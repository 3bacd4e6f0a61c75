"""What operators decided, read inside a snapshot (``projections.reading``)."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from projections.operations.tables import DECISIONS, DROPS, REDRIVES

Partition = tuple[str, int]
"""(topic, partition)."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. ``position`` is its offset on ``millstream.operations``; ``items`` counts aggregates or records.

    ``kind`` is redrive, drop, rebuild or swap.
    """

    position: int
    kind: str
    projection: str
    reason: str
    ordered_by: str
    ordered_at: datetime
    items: int | None
    dry_run: bool
    from_generation: int | None
    to_generation: int | None
    until: datetime | None
    differences: int | None


def decisions(
    connection: Connection, *, projection: str | None, first: int, before: int | None = None
) -> list[Decision]:
    """The newest first; behind the one at ``before``."""
    query = select(DECISIONS).order_by(DECISIONS.c.position.desc()).limit(first)
    if projection is not None:
        query = query.where(DECISIONS.c.projection == projection)
    if before is not None:
        query = query.where(DECISIONS.c.position < before)
    return [Decision(**row) for row in connection.execute(query).mappings()]


def count(connection: Connection, *, projection: str | None) -> int:
    """How many decisions there are."""
    query = select(func.count()).select_from(DECISIONS)
    if projection is not None:
        query = query.where(DECISIONS.c.projection == projection)
    return connection.scalar(query) or 0


def decision(connection: Connection, position: int) -> Decision | None:
    """The one at this offset."""
    row = connection.execute(select(DECISIONS).where(DECISIONS.c.position == position)).mappings().first()
    return None if row is None else Decision(**row)


def partitions(connection: Connection, position: int) -> set[Partition]:
    """The partitions that an order is about; none for what is no order to redrive or drop."""
    found: set[Partition] = set()
    for table in (REDRIVES, DROPS):
        query = select(table.c.topic, table.c.partition).where(table.c.position == position).distinct()
        found.update((topic, number) for topic, number in connection.execute(query))
    return found
