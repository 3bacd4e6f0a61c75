"""Rows of ``series_points``, its coverage and its holes in Postgres' binary COPY format, built without the driver.

The driver's own row by row dumping costs more than the copy itself at a dozen points per event.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Final

from projections.series_points.cells import Hole, Key, Point
from projections.series_points.ranges import Ranges
from schemas.grid import Interval, TimeUnit

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
POINT_COLUMNS: Final = ("series_id", "repo_id", "time", "capture", "value", "commit", "rank")
COVERAGE_COLUMNS: Final = ("series_id", "repo_id", "rank", "unit", "value", "cells")
HOLE_COLUMNS: Final = ("series_id", "repo_id", "time", "reason", "rank")

_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LENGTH: Final = Struct(">i")
_COUNT: Final = Struct(">h")
_KEY_NUMBER: Final = Struct(">iq")
_TIME: Final = Struct(">iq")
_VALUE: Final = Struct(">id")
_INTEGER: Final = Struct(">ii")
_RANGE: Final = Struct(">iBiiii")
_ONE_RANGE: Final = Struct(">iiiBiiii")
"""A multirange of one range: lengths, number of ranges, flags, and the two bounds behind their lengths."""
_LOWER_INCLUDED: Final = 2
_NULL: Final = _LENGTH.pack(-1)
_REMEMBERED: Final = 65_536
_AT_ONCE: Final = 64
"""Most rows that are packed together."""
Grid = tuple[str, int]
"""(unit, value)."""


def instant(unit: str, value: int, index: int) -> datetime:
    """The grid instant of a cell."""
    return _instant(unit, value, index)[0]


def point_rows(key: Key, grid: Grid, points: Sequence[Point]) -> bytes:
    """The points of one (series, repository), in the order given: that of the primary key."""
    prefix = _prefix(len(POINT_COLUMNS), key)
    return b"".join(
        prefix
        + _TIME.pack(8, _instant(*grid, point.index)[1])
        + _text(point.capture)
        + _VALUE.pack(8, point.value)
        + _text(point.commit)
        + _KEY_NUMBER.pack(8, point.rank)
        for point in points
    )


def plain_rows(
    key: Key, grid: Grid, rank: int, indexes: Sequence[int], values: Sequence[int], commits: Sequence[bytes]
) -> bytes:
    """The same for parallel, sorted lists of one rank without captured values: the hot path of a replay."""
    prefix = _prefix(len(POINT_COLUMNS), key)
    end = _KEY_NUMBER.pack(8, rank)
    times = _times(*grid)
    size_bytes = len(commits[0])
    if len(indexes) <= _AT_ONCE and len(set(map(len, commits))) == 1:
        length = _length(size_bytes)
        fields: list[object] = []
        add = fields.extend
        for index, value, commit in zip(indexes, values, commits, strict=True):
            add((prefix, times[index], value, length, commit, end))
        return _rows(len(indexes), len(prefix), size_bytes).pack(*fields)
    return b"".join(
        [
            prefix + times[index] + _float(value) + _length(len(commit)) + commit + end
            for index, value, commit in zip(indexes, values, commits, strict=True)
        ]
    )


def coverage_rows(key: Key, grid: Grid, coverage: Sequence[tuple[int, Ranges]]) -> bytes:
    """Which cells have an outcome: one row per rank."""
    prefix = _prefix(len(COVERAGE_COLUMNS), key)
    middle = _grid(*grid)
    if len(coverage) == 1:
        ((rank, held),) = coverage
        return prefix + _KEY_NUMBER.pack(8, rank) + middle + _multirange(held)
    return b"".join(
        prefix + _KEY_NUMBER.pack(8, rank) + middle + _multirange(held) for rank, held in coverage
    )


def hole_rows(key: Key, grid: Grid, holes: Sequence[Hole]) -> bytes:
    """The incomplete cells of one (series, repository), sorted by time."""
    prefix = _prefix(len(HOLE_COLUMNS), key)
    return b"".join(
        prefix
        + _TIME.pack(8, _instant(*grid, hole.index)[1])
        + _text(hole.reason)
        + _KEY_NUMBER.pack(8, hole.rank)
        for hole in sorted(holes, key=lambda hole: hole.index)
    )


class _Times(dict[int, bytes]):
    """By grid index: a row's time, its empty capture, and the length of its value."""

    def __init__(self, unit: str, value: int) -> None:
        self._grid = (unit, value)

    def __missing__(self, index: int) -> bytes:
        if len(self) > _REMEMBERED:
            self.clear()
        found = self[index] = (
            _TIME.pack(8, _instant(*self._grid, index)[1]) + _LENGTH.pack(0) + _LENGTH.pack(8)
        )
        return found


@lru_cache(maxsize=1_024)
def _rows(number: int, prefix_bytes: int, commit_bytes: int) -> Struct:
    """So many rows alike: packed at once in half the time."""
    return Struct(">" + f"{prefix_bytes}s20sd4s{commit_bytes}s12s" * number)


_times: Final = lru_cache(maxsize=64)(_Times)
_float: Final = Struct(">d").pack
_length: Final = _LENGTH.pack


@lru_cache(maxsize=_REMEMBERED)
def _instant(unit: str, value: int, index: int) -> tuple[datetime, int]:
    at = Interval(TimeUnit(unit), value).instant(index)
    return at, (at - _POSTGRES_EPOCH) // _MICROSECOND


@lru_cache(maxsize=64)
def _grid(unit: str, value: int) -> bytes:
    return _text(unit) + _INTEGER.pack(4, value)


def _multirange(held: Ranges) -> bytes:
    if len(held) == 1:
        return _ONE_RANGE.pack(25, 1, 17, _LOWER_INCLUDED, 4, held[0][0], 4, held[0][1])
    parts = [_RANGE.pack(17, _LOWER_INCLUDED, 4, start, 4, end) for start, end in held]
    return _INTEGER.pack(4 + 21 * len(parts), len(parts)) + b"".join(parts)


def _prefix(columns: int, key: Key) -> bytes:
    series_id, repository_id = key
    return _series(columns, series_id) + _KEY_NUMBER.pack(8, repository_id)


@lru_cache(maxsize=4_096)
def _series(columns: int, series_id: str) -> bytes:
    return _COUNT.pack(columns) + _text(series_id)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    data = value.encode()
    return _LENGTH.pack(len(data)) + data
