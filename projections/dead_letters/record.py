"""One record that was put aside, whole: bytes, headers, trace, and what waits behind it."""

from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.dead_letters.filters import Entry
from projections.generations import LiveGeneration
from schemas.envelope import Position

SHOWN_WAITING: Final = 100
"""Positions that are listed of what waits behind an event."""
_BYTES: Final = """
select key, value, header_names, header_values, {trace} as trace from "{schema}".{table}
where topic = :topic and partition = :partition and "offset" = :offset
"""
_WAITING: Final = """
select "offset" from "{schema}".quarantine
where topic = :topic and partition = :partition and aggregate = :aggregate and "offset" > :offset
order by "offset" limit :shown
"""
_TABLES: Final = {"dead-letter": ("dead_letters", "null"), "quarantined": ("quarantine", "trace")}


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with everything that is kept of it, byte for byte."""

    entry: Entry
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    trace: str | None
    waiting: list[Position]
    """The first that wait behind it; ``entry.waiting`` counts all."""


def whole(connection: Connection, generation: LiveGeneration, entry: Entry) -> Whole | None:
    """All of ``entry``; None when it was folded or dropped meanwhile."""
    table, trace = _TABLES[entry.kind.value]
    at = {"topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
    query = _BYTES.format(schema=generation.schema_name, table=table, trace=trace)
    row = connection.execute(text(query), at).first()
    if row is None:
        return None
    behind: list[Position] = []
    if entry.waiting:
        waiting = connection.scalars(
            text(_WAITING.format(schema=generation.schema_name)),
            {**at, "aggregate": entry.aggregate, "shown": SHOWN_WAITING},
        )
        behind = [Position(entry.topic, entry.partition, offset) for offset in waiting]
    return Whole(
        entry=entry,
        key=None if row.key is None else bytes(row.key),
        value=None if row.value is None else bytes(row.value),
        headers=[
            (name, bytes(content)) for name, content in zip(row.header_names, row.header_values, strict=True)
        ],
        trace=row.trace,
        waiting=behind,
    )
