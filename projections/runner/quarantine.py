"""Quarantine: aggregates at which the fold failed, their events kept in order in rows of the generation until they are folded again.

The statements name no schema: the connection has the generation's schema as its search path.
"""

import traceback
from collections.abc import Iterable, Sequence
from typing import Final

from projections.projection import Cursor
from projections.runner.checkpoint import Connection, Partition
from projections.runner.dead_letters import header_rows, printable
from projections.runner.flood import Breaker
from projections.runner.held import Held
from projections.runner.isolation import Aggregate, Queued, described
from schemas.envelope import Position

MAX_TRACE_CHARACTERS: Final = 20_000
_TRACE_HEAD_CHARACTERS: Final = 5_000
BEHIND: Final = "queues behind an event of the same aggregate at which the fold failed"

INSERT: Final = """
insert into quarantine (topic, partition, "offset", aggregate, append_time, behind, reason, trace, key, value,
                        header_names, header_values)
select q.topic, q.partition, q."offset", q.aggregate, q.append_time, q.behind, q.reason, q.trace, q.key, q.value,
       coalesce(h.names, '{}'), coalesce(h.contents, '{}')
from unnest(%s::text[], %s::int[], %s::bigint[], %s::text[], %s::timestamptz[], %s::bigint[], %s::text[], %s::text[],
            %s::bytea[], %s::bytea[])
  with ordinality as q(topic, partition, "offset", aggregate, append_time, behind, reason, trace, key, value, place)
left join (
  select place, array_agg(name order by number) as names, array_agg(content order by number) as contents
  from unnest(%s::int[], %s::int[], %s::text[], %s::bytea[]) as one(place, number, name, content) group by place
) h using (place)
on conflict do nothing
"""
HELD: Final = """
select q.topic, q.partition, q.aggregate, q."offset" from quarantine q
join unnest(%s::text[], %s::int[]) as k(topic, partition) on k.topic = q.topic and k.partition = q.partition
where q.behind is null
"""
COUNT: Final = "select count(*) from quarantine where behind is null"


def load(
    connection: Connection, partitions: Iterable[Partition], breaker: Breaker, dropped: set[Position]
) -> Held:
    """What is held of these partitions, which have to be claimed already. ``dropped`` are records that they have still to read."""
    wanted = sorted(partitions)
    rows = connection.execute(
        HELD, ([topic for topic, _ in wanted], [number for _, number in wanted])
    ).fetchall()
    found: dict[Aggregate, int] = {}
    for topic, partition, aggregate, offset in rows:
        if isinstance(partition, int) and isinstance(offset, int):
            found[str(topic), partition, str(aggregate).encode()] = offset
    return Held(found, breaker, dropped)


def count(cursor: Cursor) -> int:
    """Aggregates in quarantine in the generation."""
    row = cursor.execute(COUNT).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def insert(cursor: Cursor, queued: Sequence[Queued]) -> None:
    """Keep these events, byte for byte."""
    if not queued:
        return
    records = [one.read.record for one in queued]
    headers = header_rows(records)
    cursor.execute(
        INSERT,
        (
            [record.topic for record in records],
            [record.partition for record in records],
            [record.offset for record in records],
            [(record.key or b"").decode() for record in records],
            [one.read.folding.appended_at for one in queued],
            [one.behind for one in queued],
            [printable(BEHIND if one.error is None else described(one.error)) for one in queued],
            [None if one.error is None else printable(trace(one.error)) for one in queued],
            [record.key for record in records],
            [record.value for record in records],
            *([header[column] for header in headers] for column in range(4)),
        ),
    )


def trace(error: Exception) -> str:
    """Where it failed; of a very long one both ends."""
    whole = "".join(traceback.format_exception(error))
    if len(whole) <= MAX_TRACE_CHARACTERS:
        return whole
    tail = whole[_TRACE_HEAD_CHARACTERS - MAX_TRACE_CHARACTERS :]
    return f"{whole[:_TRACE_HEAD_CHARACTERS]}\n...\n{tail}"
