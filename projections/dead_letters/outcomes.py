"""What became of an order: written by the runners in the transactions that carry it out."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.generations import LiveGeneration
from schemas.envelope import Position

Partition = tuple[str, int]
"""(topic, partition)."""
RUNNING: Final = "RUNNING"
_ROWS: Final = """
select c.topic, c.partition, c.aggregate, nullif(c."offset", -1) as "offset", c.outcome, c.folded, c.waiting, c.at_fault,
       c.reason, c.trace
from "{schema}".carried_out c where c.ordered = :order order by c.topic, c.partition, c.aggregate, c."offset"
"""
_PASSED: Final = """
select count(*) from "{schema}".orders o
join unnest(cast(:topics as text[]), cast(:numbers as int[])) as k(topic, partition) using (topic, partition)
where o.next_order > :order
"""


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one aggregate (``offset`` is None) or of one record to be dropped (``aggregate`` is empty).

    ``outcome``: RUNNING, FOLDED, STILL_FAILS, NOTHING_WAITS, DROPPED or REFUSED. ``folded`` and ``waiting`` count events;
    ``at_fault`` is the offset of the one that still fails, ``reason`` and ``trace`` say how.
    """

    topic: str
    partition: int
    aggregate: str
    offset: int | None
    outcome: str
    folded: int
    waiting: int
    at_fault: int | None
    reason: str
    trace: str | None

    @property
    def position(self) -> Position | None:
        """Of the record, where it is about one; of the event that still fails, where one does."""
        offset = self.offset if self.offset is not None else self.at_fault
        return None if offset is None else Position(self.topic, self.partition, offset)


def carried(connection: Connection, generation: LiveGeneration, order: int) -> list[Carried]:
    """What became of the order at this offset of ``millstream.operations`` so far."""
    rows = connection.execute(text(_ROWS.format(schema=generation.schema_name)), {"order": order}).mappings()
    return [msgspec.convert(dict(row), Carried) for row in rows]


def is_done(
    connection: Connection, generation: LiveGeneration, order: int, partitions: Iterable[Partition]
) -> bool:
    """Whether all of an order for these partitions is carried out."""
    wanted = sorted(set(partitions))
    passed = connection.scalar(
        text(_PASSED.format(schema=generation.schema_name)),
        {
            "order": order,
            "topics": [topic for topic, _ in wanted],
            "numbers": [number for _, number in wanted],
        },
    )
    return bool(passed == len(wanted))
