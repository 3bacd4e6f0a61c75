"""Records that a generation leaves out for ever: known in memory from the checkpoint on, and rows for good."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.projection import Cursor
from projections.runner.checkpoint import Checkpoint, Connection, Partition
from schemas.envelope import Position

_AHEAD: Final = """
select d.topic, d.partition, d."offset" from dropped d
join unnest(%s::text[], %s::int[], %s::bigint[]) as k(topic, partition, next_offset) using (topic, partition)
where d."offset" >= k.next_offset
"""
_INSERT: Final = """
insert into dropped (topic, partition, "offset", ordered)
select %s, %s, one, %s from unnest(%s::bigint[]) as one on conflict do nothing
"""


def ahead(connection: Connection, claimed: Mapping[Partition, Checkpoint]) -> set[Position]:
    """The dropped records that these partitions have still to read."""
    rows = connection.execute(
        _AHEAD,
        (
            [topic for topic, _ in claimed],
            [number for _, number in claimed],
            [one.next_offset for one in claimed.values()],
        ),
    ).fetchall()
    return {Position(str(topic), int(str(number)), int(str(offset))) for topic, number, offset in rows}


def insert(cursor: Cursor, partition: Partition, offsets: Sequence[int], order: int) -> None:
    """Leave these out from now on, as the order says."""
    if offsets:
        cursor.execute(_INSERT, (*partition, order, list(offsets)))
