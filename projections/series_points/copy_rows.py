"""Rows of ``series_points``, its coverage and its holes in Postgres' binary COPY format, built without the driver.

The driver's own row by row dumping costs more than the copy itself at a dozen points per event.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Final

import msgspec

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
ONE_RANGE_BEGINS: Final = Struct(">iiiBi").pack(25, 1, 17, _LOWER_INCLUDED, 4)
"""Up to the lower bound of its range."""
_FOUR: Final = _LENGTH.pack(4)
_EIGHT: Final = _LENGTH.pack(8)
_NULL: Final = _LENGTH.pack(-1)
_REMEMBERED: Final = 65_536
_AT_ONCE: Final = 256
"""Most commits that are cut out of one text."""
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


def coverage_rows(key: Key, grid: Grid, coverage: Sequence[tuple[int, Ranges]]) -> bytes:
    """Which cells have an outcome: one row per rank."""
    prefix = _prefix(len(COVERAGE_COLUMNS), key)
    middle = grid_column(*grid)
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


class Commits(msgspec.Struct, frozen=True, gc=False):
    """Commits as they are copied. ``length`` stands before each of them, where they all have ``size_bytes``."""

    texts: Sequence[bytes]
    length: bytes | None
    size_bytes: int

    @classmethod
    def of(cls, commits: Sequence[str]) -> "Commits":
        """The table of an event."""
        if len(commits) == 1:
            text = commits[0].encode()
            return cls((text,), _length(len(text)), len(text))
        sizes = set(map(len, commits))
        if len(sizes) != 1 or len(commits) > _AT_ONCE:
            return cls([commit.encode() for commit in commits], None, 0)
        size_bytes = sizes.pop()
        texts = _split(len(commits), size_bytes).unpack("".join(commits).encode())
        return cls(texts, _length(size_bytes), size_bytes)

    def at(self, places: Sequence[int]) -> "Commits":
        """Those at ``places``, in that order."""
        return Commits([self.texts[place] for place in places], self.length, self.size_bytes)


class SeriesRows:
    """Rows of one series on one grid, without captured values: the hot path of a replay."""

    def __init__(self, series_id: str, unit: str, value: int) -> None:
        self._point: Final = series_column(len(POINT_COLUMNS), series_id) + _EIGHT
        self._covered: Final = series_column(len(COVERAGE_COLUMNS), series_id) + _EIGHT
        self._middle: Final = grid_column(unit, value) + ONE_RANGE_BEGINS
        self._times: Final = _times(unit, value)
        self._pack_covered: Final = _covered_row(len(self._covered), len(self._middle)).pack

    def points(
        self, repository_id: int, rank: bytes, indexes: Sequence[int], values: Sequence[int], commits: Commits
    ) -> bytes:
        """The points of parallel, sorted lists; ``rank`` as ``rank_column`` has it."""
        times, length = self._times, commits.length
        if length is None:
            prefix = self._point + _number(repository_id)
            return b"".join(
                [
                    prefix + times[index] + _float(value) + _length(len(commit)) + commit + rank
                    for index, value, commit in zip(indexes, values, commits.texts, strict=True)
                ]
            )
        if len(indexes) == 1:
            pack = _whole_row(len(self._point), commits.size_bytes).pack
            return pack(
                self._point, repository_id, times[indexes[0]], values[0], length, commits.texts[0], rank
            )
        # All rows are alike but for the middle: what ends one and begins the next joins these.
        between = rank + self._point + _number(repository_id)
        pack = _middle_of_row(commits.size_bytes).pack
        middles = map(pack, map(times.__getitem__, indexes), values, repeat(length), commits.texts)
        return between[len(rank) :] + between.join(middles) + rank

    def coverage(self, repository_id: int, rank: bytes, first: int, end: int) -> bytes:
        """The row of one range."""
        return self._pack_covered(self._covered, repository_id, rank, self._middle, first, _FOUR, end)


@lru_cache(maxsize=4_096)
def series_rows(series_id: str, unit: str, value: int) -> SeriesRows:
    """The same one again for a series met lately."""
    return SeriesRows(series_id, unit, value)


@lru_cache(maxsize=1_024)
def rank_column(rank: int) -> bytes:
    """A rank behind its length."""
    return _KEY_NUMBER.pack(8, rank)


class _Instants(dict[int, int]):
    """By grid index: microseconds since Postgres' epoch."""

    def __init__(self, unit: str, value: int) -> None:
        self._grid = (unit, value)

    def __missing__(self, index: int) -> int:
        if len(self) > _REMEMBERED:
            self.clear()
        found = self[index] = _instant(*self._grid, index)[1]
        return found


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


@lru_cache(maxsize=256)
def _split(number: int, size_bytes: int) -> Struct:
    return Struct(f"{size_bytes}s" * number)


@lru_cache(maxsize=64)
def _whole_row(prefix_bytes: int, commit_bytes: int) -> Struct:
    return Struct(f">{prefix_bytes}sq20sd4s{commit_bytes}s12s")


@lru_cache(maxsize=64)
def _middle_of_row(commit_bytes: int) -> Struct:
    return Struct(f">20sd4s{commit_bytes}s")


@lru_cache(maxsize=64)
def _covered_row(prefix_bytes: int, middle_bytes: int) -> Struct:
    return Struct(f">{prefix_bytes}sq12s{middle_bytes}si4si")


_times: Final = lru_cache(maxsize=64)(_Times)
instants_us: Final[Callable[[str, int], Mapping[int, int]]] = lru_cache(maxsize=64)(_Instants)
"""Of a grid (unit, value)."""
_float: Final = Struct(">d").pack
_number: Final = Struct(">q").pack
_length: Final = _LENGTH.pack


@lru_cache(maxsize=_REMEMBERED)
def _instant(unit: str, value: int, index: int) -> tuple[datetime, int]:
    at = Interval(TimeUnit(unit), value).instant(index)
    return at, (at - _POSTGRES_EPOCH) // _MICROSECOND


@lru_cache(maxsize=64)
def grid_column(unit: str, value: int) -> bytes:
    """Unit and value, behind their lengths."""
    return _text(unit) + _INTEGER.pack(4, value)


def _multirange(held: Ranges) -> bytes:
    if len(held) == 1:
        return _ONE_RANGE.pack(25, 1, 17, _LOWER_INCLUDED, 4, held[0][0], 4, held[0][1])
    parts = [_RANGE.pack(17, _LOWER_INCLUDED, 4, start, 4, end) for start, end in held]
    return _INTEGER.pack(4 + 21 * len(parts), len(parts)) + b"".join(parts)


def _prefix(columns: int, key: Key) -> bytes:
    series_id, repository_id = key
    return series_column(columns, series_id) + _KEY_NUMBER.pack(8, repository_id)


@lru_cache(maxsize=4_096)
def series_column(columns: int, series_id: str) -> bytes:
    """How a row of so many columns begins: with its series."""
    return _COUNT.pack(columns) + _text(series_id)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    data = value.encode()
    return _LENGTH.pack(len(data)) + data
