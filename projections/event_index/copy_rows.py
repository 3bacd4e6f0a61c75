"""Rows of ``events`` in Postgres' binary COPY format."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Final

from projections.folding import Folding

COLUMNS: Final = (
    "said",
    "partition",
    "offset",
    "appended_at",
    "repository_id",
    "topic",
    "source",
    "event_id",
    "type",
    "subject",
    "cause",
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBERS: Final = Struct(">hiqiiiqiqiq")
"""Columns; then said, partition, offset, time and repository, each behind its length."""
_CAUSE: Final = Struct(">iq")
_length: Final = Struct(">i").pack
_NULL: Final = _length(-1)


def row(said: int, cause: int | None, repository_id: int, one: Folding) -> bytes:
    """One row; ``said`` and ``cause`` are hashes of ids."""
    position, event = one.position, one.event
    event_id, subject = event.id.encode(), event.subject.encode()
    return b"".join(
        (
            _NUMBERS.pack(
                len(COLUMNS),
                8,
                said,
                4,
                position.partition,
                8,
                position.offset,
                8,
                _at_us(one.appended_at),
                8,
                repository_id,
            ),
            _column(position.topic),
            _column(event.source),
            _length(len(event_id)),
            event_id,
            _column(event.type.name),
            _length(len(subject)),
            subject,
            _NULL if cause is None else _CAUSE.pack(8, cause),
        )
    )


@lru_cache(maxsize=1_024)
def _column(text: str) -> bytes:
    """Of a text that many events share."""
    data = text.encode()
    return _length(len(data)) + data


@lru_cache(maxsize=64)
def _at_us(appended_at: datetime) -> int:
    """Events of one append come one after the other."""
    return (appended_at - _POSTGRES_EPOCH) // _MICROSECOND
