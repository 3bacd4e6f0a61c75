"""Operators' orders as a generation sees them: which are due for its partitions, and how far it has carried them out.

Orders stand in the tables of the live ``operations`` projection. Each generation keeps for itself how far it is (``orders``), what
became of them (``carried_out``) and which records it leaves out (``dropped``), so that it can be done in the transaction that
changes its rows. The statements name no schema of their own: the connection has the generation's schema as its search path.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, LiteralString

import msgspec
from psycopg import errors, sql

from projections.runner.checkpoint import Connection, Partition
from projections.runner.orders_log import Drop
from schemas.topics import Topic

OPERATIONS: Final = "operations"
"""The projection that folds orders."""

_LIVE: Final = "select schema_name from runtime.generations where projection = %s"
_MISSING: Final = """
select k.topic, k.partition from unnest(%s::text[], %s::int[]) as k(topic, partition)
left join orders o on o.topic = k.topic and o.partition = k.partition where o.topic is null
"""
_FROM_LIVE: Final[LiteralString] = """
with k as (select * from unnest(%s::text[], %s::int[]) as k(topic, partition)),
left_out as (
  insert into dropped (topic, partition, "offset", ordered)
  select d.topic, d.partition, d."offset", d.ordered from {live}.dropped d join k using (topic, partition)
  on conflict do nothing
)
insert into orders (topic, partition, next_order)
select o.topic, o.partition, o.next_order from {live}.orders o join k using (topic, partition)
on conflict do nothing returning topic, partition
"""
_DROPS: Final = """
insert into dropped (topic, partition, "offset", ordered)
select d.topic, d.partition, d."offset", min(d.ordered)
from unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) as d(topic, partition, "offset", ordered)
join unnest(%s::text[], %s::int[]) as k(topic, partition) using (topic, partition) group by 1, 2, 3
on conflict do nothing
"""
_BEGIN: Final = """
insert into orders (topic, partition, next_order)
select k.topic, k.partition, %s from unnest(%s::text[], %s::int[]) as k(topic, partition)
on conflict do nothing
"""
_PASSED: Final[LiteralString] = "select next_offset from {operations}.checkpoints where topic = %s"
_DUE: Final[LiteralString] = """
select d.position, d.kind, d.topic, d.partition, d.dry_run from (
  select position, 'redrive' as kind, topic, partition, dry_run from {operations}.redrives where projection = %s
  union all
  select position, 'drop', topic, partition, false from {operations}.drops where projection = %s
) d
join unnest(%s::text[], %s::int[]) as k(topic, partition) using (topic, partition)
join orders o using (topic, partition)
where d.position >= o.next_order
order by d.position, d.topic, d.partition limit 1
"""
_AHEAD: Final[LiteralString] = """
select d.topic, d.partition, d."offset", min(d.position) from {operations}.drops d
join unnest(%s::text[], %s::int[]) as k(topic, partition) using (topic, partition)
join orders o using (topic, partition)
join checkpoints c using (topic, partition)
where d.projection = %s and d.position >= o.next_order and d."offset" >= c.next_offset
group by 1, 2, 3 order by 1, 2, 3
"""
_AGGREGATES: Final[LiteralString] = """
select aggregate from {operations}.redrives
where position = %s and projection = %s and topic = %s and partition = %s group by 1 order by min(place)
"""
_RECORDS: Final[LiteralString] = """
select "offset" from {operations}.drops
where position = %s and projection = %s and topic = %s and partition = %s group by 1 order by min(place)
"""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order's part for one partition. ``aggregates`` to redrive, or the offsets of ``records`` to drop."""

    position: int
    partition: Partition
    dry_run: bool
    aggregates: list[str]
    records: list[int]


def due(connection: Connection, projection: str, partitions: Iterable[Partition]) -> Order | None:
    """The earliest order for these partitions that is not carried out yet."""
    places = _columns(partitions)
    live = live_schema(connection, OPERATIONS)
    if live is None or not places[0]:
        return None
    schema = sql.Identifier(live)
    try:
        row = connection.execute(
            sql.SQL(_DUE).format(operations=schema), (projection, projection, *places)
        ).fetchone()
        if row is None:
            return None
        position, kind, topic, number, dry_run = msgspec.convert(row, tuple[int, str, str, int, bool])
        wanted = sql.SQL(_AGGREGATES if kind == "redrive" else _RECORDS).format(operations=schema)
        rows = connection.execute(wanted, (position, projection, topic, number)).fetchall()
    except errors.UndefinedTable:
        return None  # another generation of the orders became live at this moment
    return Order(
        position=position,
        partition=(topic, number),
        dry_run=dry_run,
        aggregates=[str(name) for (name,) in rows] if kind == "redrive" else [],
        records=msgspec.convert([at for (at,) in rows], list[int]) if kind == "drop" else [],
    )


def ahead(connection: Connection, projection: str, partitions: Iterable[Partition]) -> list[Drop]:
    """What operators ordered to be dropped of the records that these partitions have still to read, and is not begun yet."""
    live = live_schema(connection, OPERATIONS)
    places = _columns(partitions)
    if live is None or not places[0]:
        return []
    statement = sql.SQL(_AHEAD).format(operations=sql.Identifier(live))
    try:
        rows = connection.execute(statement, (*places, projection)).fetchall()
    except errors.UndefinedTable:
        return []  # another generation of the orders became live at this moment
    found = msgspec.convert(rows, list[tuple[str, int, int, int]])
    return [
        Drop(topic=topic, partition=number, offset=offset, ordered=ordered)
        for topic, number, offset, ordered in found
    ]


def known_up_to(connection: Connection) -> int | None:
    """The offset up to which orders are folded by the live projection; None where there is none."""
    live = live_schema(connection, OPERATIONS)
    if live is None:
        return None
    statement = sql.SQL(_PASSED).format(operations=sql.Identifier(live))
    try:
        row = connection.execute(statement, (Topic.OPERATIONS.value,)).fetchone()
    except errors.UndefinedTable:
        return 0  # another generation became live at this moment
    return row[0] if row is not None and isinstance(row[0], int) else 0


def begin(
    connection: Connection,
    projection: str,
    schema: str,
    partitions: Iterable[Partition],
    end: int,
    drops_on_log: Callable[[], Sequence[Drop]],
) -> None:
    """See that a new generation leaves out from its start what operators have dropped; no more for one that has begun.

    It takes over from the live generation, or, where there is none, from all orders on the log, which ends at ``end``.
    Raises what ``drops_on_log`` raises.
    """
    missing = connection.execute(_MISSING, _columns(partitions)).fetchall()
    left = {(str(topic), int(str(number))) for topic, number in missing}
    live = live_schema(connection, projection) if left else None
    if live is not None and live != schema and _has_orders(connection, live):
        statement = sql.SQL(_FROM_LIVE).format(live=sql.Identifier(live))
        done = connection.execute(statement, _columns(left)).fetchall()
        left -= {(str(topic), int(str(number))) for topic, number in done}
    if not left:
        return
    found = drops_on_log() if end > 0 else ()
    with connection.transaction():
        connection.execute(
            _DROPS,
            (
                [one.topic for one in found],
                [one.partition for one in found],
                [one.offset for one in found],
                [one.ordered for one in found],
                *_columns(left),
            ),
        )
        connection.execute(_BEGIN, (end, *_columns(left)))


def live_schema(connection: Connection, projection: str) -> str | None:
    """The schema of the live generation."""
    row = connection.execute(_LIVE, (projection,)).fetchone()
    return None if row is None else str(row[0])


def _has_orders(connection: Connection, schema: str) -> bool:
    """Not so in a generation of a build that knew no orders."""
    row = connection.execute("select to_regclass(%s)", (f'"{schema}".orders',)).fetchone()
    return row is not None and row[0] is not None


def _columns(partitions: Iterable[Partition]) -> tuple[list[str], list[int]]:
    ordered = sorted(partitions)
    return [topic for topic, _ in ordered], [number for _, number in ordered]
