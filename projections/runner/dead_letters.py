"""Dead letters: rows of the generation, written in the batch's transaction, byte for byte."""

from collections.abc import Sequence
from typing import Final

from projections.projection import Cursor
from projections.runner.batch import DeadLetter, append_time

INSERT: Final = """
insert into dead_letters (topic, partition, "offset", append_time, reason, path, key, value, header_names, header_values)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s::text[], %s::bytea[]) on conflict do nothing
"""


def insert(cursor: Cursor, letters: Sequence[DeadLetter]) -> None:
    """Keep ``letters``."""
    if not letters:
        return
    cursor.executemany(
        INSERT,
        [
            (
                letter.record.topic,
                letter.record.partition,
                letter.record.offset,
                append_time(letter.record),
                _printable(letter.reason),
                _printable(letter.path),
                letter.record.key,
                letter.record.value,
                [_printable(name) for name, _ in letter.record.headers],
                [value for _, value in letter.record.headers],
            )
            for letter in letters
        ],
    )


def _printable(text: str) -> str:
    return text.replace("\x00", "\N{SYMBOL FOR NULL}")
