"""Rows of ``events`` in Postgres' binary COPY format."""

from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Final

from projections.folding import Folding

COLUMNS: Final = (
    "said",
    "partition",
    "offset",
    "appended_at",
    "topic",
    "source",
    "event_id",
    "type",
    "subject",
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBERS: Final = Struct(">hiqiiiqiq")
"""Columns; then said, partition, offset and time, each behind its length."""
_LENGTH: Final = Struct(">i")


def row(said: int, one: Folding) -> bytes:
    """One row."""
    position, event = one.position, one.event
    at_us = (one.appended_at - _POSTGRES_EPOCH) // _MICROSECOND
    parts = [_NUMBERS.pack(len(COLUMNS), 8, said, 4, position.partition, 8, position.offset, 8, at_us)]
    for text in (position.topic, event.source, event.id, event.type.name, event.subject):
        data = text.encode()
        parts.append(_LENGTH.pack(len(data)))
        parts.append(data)
    return b"".join(parts)
