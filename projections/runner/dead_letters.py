"""Dead letters: rows of the generation, written in the batch's transaction, byte for byte."""

from collections.abc import Sequence
from typing import Final

from projections.projection import Cursor
from projections.runner.batch import DeadLetter, append_time
from schemas.envelope import Record

INSERT: Final = """
insert into dead_letters (topic, partition, "offset", append_time, reason, path, key, value, header_names, header_values)
select l.topic, l.partition, l."offset", l.append_time, l.reason, l.path, l.key, l.value,
       coalesce(h.names, '{}'), coalesce(h.contents, '{}')
from unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::bytea[], %s::bytea[])
  with ordinality as l(topic, partition, "offset", append_time, reason, path, key, value, place)
left join (
  select place, array_agg(name order by number) as names, array_agg(content order by number) as contents
  from unnest(%s::int[], %s::int[], %s::text[], %s::bytea[]) as one(place, number, name, content) group by place
) h using (place)
on conflict do nothing
"""
"""One statement for all: a flood of bad records is as cheap as one. Headers travel flat, with the letter's place."""

COUNT: Final = "select count(*) from dead_letters"


def count(cursor: Cursor) -> int:
    """Dead letters in the generation."""
    row = cursor.execute(COUNT).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def insert(cursor: Cursor, letters: Sequence[DeadLetter]) -> None:
    """Keep ``letters``."""
    if not letters:
        return
    records = [letter.record for letter in letters]
    headers = header_rows(records)
    cursor.execute(
        INSERT,
        (
            [record.topic for record in records],
            [record.partition for record in records],
            [record.offset for record in records],
            [append_time(record) for record in records],
            [printable(letter.reason) for letter in letters],
            [printable(letter.path) for letter in letters],
            [record.key for record in records],
            [record.value for record in records],
            *([header[column] for header in headers] for column in range(4)),
        ),
    )


def header_rows(records: Sequence[Record]) -> list[tuple[int, int, str, bytes]]:
    """All headers flat: the record's place (from 1), the header's number, its name and its bytes."""
    return [
        (place, number, printable(name), content)
        for place, record in enumerate(records, start=1)
        for number, (name, content) in enumerate(record.headers)
    ]


def printable(text: str) -> str:
    """``text`` as a column of Postgres can hold it."""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}")
