"""Rows of ``series_points`` and its holes in Postgres' binary COPY format, built without the driver.

The driver's own row by row dumping costs more than the copy itself at a dozen points per event.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Final

from projections.series_points.cells import Hole, Key, Point
from schemas.grid import Interval, TimeUnit

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
POINT_COLUMNS: Final = ("series_id", "repo_id", "time", "capture", "value", "commit", "rank")
HOLE_COLUMNS: Final = ("series_id", "repo_id", "time", "reason", "rank")

_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LENGTH: Final = Struct(">i")
_COUNT: Final = Struct(">h")
_KEY_NUMBER: Final = Struct(">iq")
_PLAIN: Final = Struct(">iqiidi40siq")
"""time, empty capture, value, a commit of 40 digits, rank."""
_TIME: Final = Struct(">iq")
_VALUE: Final = Struct(">id")
_NULL: Final = _LENGTH.pack(-1)


def instant(unit: str, value: int, index: int) -> datetime:
    """The grid instant of a cell."""
    return _instant(unit, value, index)[0]


def point_rows(key: Key, unit: str, value: int, points: Sequence[Point]) -> bytes:
    """The points of one (series, repository), in the order given: that of the primary key."""
    prefix = _prefix(len(POINT_COLUMNS), key)
    rows: list[bytes] = []
    for point in points:
        time_us = _instant(unit, value, point.index)[1]
        commit = point.commit
        if not point.capture and commit is not None and len(commit) == 40:
            rows.append(
                prefix + _PLAIN.pack(8, time_us, 0, 8, point.value, 40, commit.encode("ascii"), 8, point.rank)
            )
        else:
            rows.append(
                prefix
                + _TIME.pack(8, time_us)
                + _text(point.capture)
                + _VALUE.pack(8, point.value)
                + _text(commit)
                + _KEY_NUMBER.pack(8, point.rank)
            )
    return b"".join(rows)


def hole_rows(key: Key, unit: str, value: int, holes: Sequence[Hole]) -> bytes:
    """The incomplete cells of one (series, repository), sorted by time."""
    prefix = _prefix(len(HOLE_COLUMNS), key)
    return b"".join(
        prefix
        + _TIME.pack(8, _instant(unit, value, hole.index)[1])
        + _text(hole.reason)
        + _KEY_NUMBER.pack(8, hole.rank)
        for hole in sorted(holes, key=lambda hole: hole.index)
    )


@lru_cache(maxsize=65_536)
def _instant(unit: str, value: int, index: int) -> tuple[datetime, int]:
    at = Interval(TimeUnit(unit), value).instant(index)
    return at, (at - _POSTGRES_EPOCH) // _MICROSECOND


def _prefix(columns: int, key: Key) -> bytes:
    series_id, repository_id = key
    return _COUNT.pack(columns) + _text(series_id) + _KEY_NUMBER.pack(8, repository_id)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    data = value.encode()
    return _LENGTH.pack(len(data)) + data
