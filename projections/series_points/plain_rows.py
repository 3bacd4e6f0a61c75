"""Rows of plain results, gathered as columns and made into Postgres' binary COPY format all at once.

A plain result is counted whole, without captured values, and its rows are all of one length. So a batch's rows are one table of fixed
layout: its columns are filled one after the other, by numpy, instead of its rows. What is not plain is not taken.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from projections.series_points.copy_rows import (
    COVERAGE_COLUMNS,
    ONE_RANGE_BEGINS,
    POINT_COLUMNS,
    grid_column,
    instants_us,
    series_column,
)
from projections.series_points.outcomes import PLACES, UNITS
from schemas.events import SearchCompleted, SeriesResult
from schemas.grid import TimeUnit

_REPOSITORY: Final = np.dtype([("repository_size", ">i4"), ("repository", ">i8")])
_TIME_TO_VALUE: Final = np.dtype(
    [("time_size", ">i4"), ("time", ">i8"), ("capture_size", ">i4"), ("value_size", ">i4"), ("value", ">f8")]
)
_RANK: Final = np.dtype([("rank_size", ">i4"), ("rank", ">i8")])
_RANGE: Final = np.dtype([("range", "S17"), ("first", ">i4"), ("end_size", ">i4"), ("end", ">i4")])
Integers = NDArray[np.int64]


class PlainRows:
    """Columns of the results of one batch."""

    def __init__(self) -> None:
        self._by_layout: dict[tuple[int, int, int], _Columns] = {}
        self._columns: _Columns
        self._of: tuple[str, TimeUnit, int, int] | None = None
        """Of which series, grid and length of commits the last one was."""
        self.rows = 0
        """Points, so far."""

    def add(self, event: SearchCompleted, result: SeriesResult) -> None:
        """Take a result for which ``outcomes.is_plain`` says so, of a key that was not added before."""
        commits, refs, indexes = event.commits, result.commit_refs, result.indexes
        of = (result.series_id, result.unit, result.value, len(commits[0]) if commits else 0)
        if of != self._of:
            self._of = of
            self._turn_to(*of)
        columns, size = self._columns, len(indexes)
        first, end = result.covered[0]
        columns.results += (
            columns.series,
            event.repository_id,
            event.matcher_version << 17 | 1 << 16 | event.attempt,
            size,
            first,
            end,
        )
        if size:
            number = len(commits)
            if number >= len(PLACES) or refs != PLACES[number]:
                commits = [commits[ref] for ref in refs]
            columns.times += map(columns.instant_us, indexes)
            columns.values += result.values
            columns.commits += commits
            self.rows += size

    def take(self) -> tuple[list[bytearray], list[bytearray]]:
        """(rows of the coverage, rows of the points): in the order of the primary key, each layout for itself."""
        layouts = [_Layout(columns) for columns in self._by_layout.values()]
        return [one.coverage() for one in layouts], [one.points() for one in layouts]

    def _turn_to(self, series_id: str, unit: TimeUnit, value: int, commit_bytes: int) -> None:
        series = (
            series_column(len(POINT_COLUMNS), series_id),
            series_column(len(COVERAGE_COLUMNS), series_id),
            grid_column(UNITS[unit], value),
        )
        layout = (len(series[0]), len(series[2]), commit_bytes)
        columns = self._by_layout.get(layout)
        if columns is None:
            columns = self._by_layout[layout] = _Columns(commit_bytes)
        columns.series = columns.every_series.setdefault(series, len(columns.every_series))
        columns.instant_us = instants_us(UNITS[unit], value).__getitem__
        self._columns = columns


class _Columns:
    """Of results whose rows are alike but for what they hold."""

    def __init__(self, commit_bytes: int) -> None:
        self.commit_bytes: Final = commit_bytes
        self.every_series: dict[tuple[bytes, bytes, bytes], int] = {}
        """How its rows begin in both tables, and its grid."""
        self.series = 0
        """Of the result that is added."""
        self.instant_us: Callable[[int], int]
        self.results: list[int] = []
        """Six numbers of each: series, repository, rank, points, first and end of what is covered."""
        self.times: list[int] = []
        self.values: list[int] = []
        self.commits: list[str] = []


class _Layout:
    """Makes rows of columns."""

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        self._series = list(columns.every_series)
        results = _integers(columns.results).reshape(-1, 6)
        # All begin alike and are of one length: so they sort as the texts in them do.
        begins = [one[0] for one in self._series]
        places = {text: place for place, text in enumerate(sorted(set(begins)))}
        ranked = _integers([places[text] for text in begins])
        order = np.lexsort((results[:, 1], ranked[results[:, 0]]))
        sizes = results[:, 3]
        self._starts = (np.cumsum(sizes) - sizes)[order]
        self._results = results[order]

    def coverage(self) -> bytearray:
        """Rows of ``series_coverage``."""
        series, repositories, ranks, _, firsts, ends = self._results.T
        begins, grids = self._texts(1), self._texts(2)
        rows, buffer = _rows(
            len(series),
            _joined([("series", begins.dtype.str)], _REPOSITORY, _RANK, [("grid", grids.dtype.str)], _RANGE),
        )
        rows["repository_size"] = rows["rank_size"] = 8
        rows["range"], rows["end_size"] = ONE_RANGE_BEGINS, 4
        rows["series"], rows["grid"] = begins[series], grids[series]
        rows["repository"], rows["rank"] = repositories, ranks
        rows["first"], rows["end"] = firsts, ends
        return buffer

    def points(self) -> bytearray:
        """Rows of ``series_points``; those of one result as they were given."""
        columns = self._columns
        total = len(columns.times)
        if not total:
            return bytearray()
        series, repositories, ranks, sizes, _, _ = self._results.T
        ends = np.cumsum(sizes)
        source = np.repeat(self._starts - (ends - sizes), sizes) + np.arange(total)
        begins, commit = self._texts(0), f"S{columns.commit_bytes}"
        rows, buffer = _rows(
            total,
            _joined(
                [("series", begins.dtype.str)],
                _REPOSITORY,
                _TIME_TO_VALUE,
                [("commit_size", ">i4"), ("commit", commit)],
                _RANK,
            ),
        )
        rows["repository_size"] = rows["time_size"] = rows["value_size"] = rows["rank_size"] = 8
        rows["commit_size"] = columns.commit_bytes
        first = 0
        for last in [*np.flatnonzero(np.diff(series)), len(series) - 1]:  # one series after the other
            rows["series"][first : ends[last]] = begins[series[last]]
            first = ends[last]
        rows["repository"], rows["rank"] = np.repeat(repositories, sizes), np.repeat(ranks, sizes)
        rows["time"] = _integers(columns.times)[source]
        rows["value"] = np.array(columns.values, dtype=np.float64)[source]
        rows["commit"] = np.frombuffer("".join(columns.commits).encode(), dtype=commit)[source]
        return buffer

    def _texts(self, place: int) -> NDArray[np.bytes_]:
        """One of the three texts of each series. All are of one length, whatever they end in."""
        texts = [one[place] for one in self._series]
        return np.array(texts, dtype=f"S{len(texts[0])}")


def _integers(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def _joined(*parts: "np.dtype[np.void] | list[tuple[str, str]]") -> np.dtype[np.void]:
    """One column after the other, without gaps."""
    fields: list[tuple[str, DTypeLike]] = []
    for part in parts:
        kind = np.dtype(part)
        fields += [(name, kind[name]) for name in kind.names or ()]
    return np.dtype(fields)


def _rows(number: int, kind: np.dtype[np.void]) -> tuple[NDArray[np.void], bytearray]:
    """So many rows of zeros, and the memory that they are."""
    buffer = bytearray(number * kind.itemsize)
    return np.frombuffer(buffer, dtype=kind), buffer
