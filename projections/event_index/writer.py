"""Writes rows of the index: every record of the log comes once, so they are always new."""

from collections.abc import Sequence
from typing import Final

from projections.event_index.copy_rows import COLUMNS, HEADER, TRAILER
from projections.projection import Cursor

COPY: Final = "copy events ({}) from stdin (format binary)".format(", ".join(f'"{name}"' for name in COLUMNS))


def write(cursor: Cursor, rows: Sequence[bytes]) -> int:
    """Copy ``rows`` in; how many."""
    if rows:
        with cursor.copy(COPY.encode()) as copy:
            copy.write(HEADER + b"".join(rows) + TRAILER)
    return len(rows)
