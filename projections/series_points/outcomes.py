"""From a result to the cells of one (series, repository), and to rows that are ready to be copied. Pure.

Nearly every result is plain: counted whole, in order, no captured values, no other result for its key in the batch. Its
rows are built straight from its lists; cells are made of it only where it meets others.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from projections.series_points import ranges
from projections.series_points.cells import Hole, Key, KeyCells, Point, ordered, rank, reduce
from projections.series_points.copy_rows import Grid, coverage_rows, hole_rows, plain_rows, point_rows
from projections.series_points.labels import cut
from projections.series_points.ranges import Ranges
from schemas.events import SearchCompleted, SeriesResult
from schemas.grid import TimeUnit

Said = tuple[SeriesResult, SearchCompleted]
"""A series' result, and the event that holds it."""
Coverage = tuple[tuple[int, Ranges], ...]

_PLACES: Final = list(range(64))
"""The references of a result that has its event for itself."""
_UNITS: Final = {unit: unit.value for unit in TimeUnit}


class KeyChange(msgspec.Struct, frozen=True, gc=False):
    """What a batch says about one (series, repository).

    ``points``, ``holes`` and ``covered`` are the rows of the three tables as bytes, for the case that all are new;
    ``rows`` is how many points and holes these are. ``said`` is what ``cells`` are made of when they meet others.
    """

    key: Key
    grid: Grid
    coverage: Coverage
    points: bytes
    holes: bytes
    covered: bytes
    rows: int
    said: KeyCells | Said

    def cells(self) -> KeyCells:
        """The same as cells."""
        return self.said if isinstance(self.said, KeyCells) else cells_of(*self.said)


def change_of(key: Key, said: Sequence[Said], tables: dict[int, list[bytes]]) -> KeyChange:
    """What the results ``said`` about ``key``, in partition order and all on one grid, say together.

    ``tables`` remembers the commits of events as bytes, by the event's identity while it lives.
    """
    if len(said) == 1:
        plain = _plain(key, *said[0], tables)
        if plain is not None:
            return plain
    return key_change(key, reduce([cells_of(*one) for one in said]))


def key_change(key: Key, cells: KeyCells) -> KeyChange:
    """``cells`` with their rows."""
    return KeyChange(
        key=key,
        grid=cells.grid,
        coverage=cells.coverage,
        points=point_rows(key, cells.grid, cells.points),
        holes=hole_rows(key, cells.grid, cells.holes) if cells.holes else b"",
        covered=coverage_rows(key, cells.grid, cells.coverage),
        rows=len(cells.points) + len(cells.holes),
        said=cells,
    )


def grid_of(result: SeriesResult) -> Grid:
    """On which the indexes of a result count."""
    return (_UNITS[result.unit], result.value)


def _plain(
    key: Key, result: SeriesResult, event: SearchCompleted, tables: dict[int, list[bytes]]
) -> KeyChange | None:
    indexes, values, refs = result.indexes, result.values, result.commit_refs
    if (
        result.captures is not None
        or result.incomplete
        or len(refs) != len(indexes)
        or 0 in values
        or indexes != sorted(indexes)
    ):
        return None
    table = tables.get(id(event))
    if table is None:
        table = tables[id(event)] = [commit.encode() for commit in event.commits]
    commits = table if refs == _PLACES[: len(table)] else [table[ref] for ref in refs]
    grid = (_UNITS[result.unit], result.value)
    rank_ = event.matcher_version << 17 | 1 << 16 | event.attempt
    said = result.covered
    covered = (said[0],) if len(said) == 1 and said[0][0] < said[0][1] else ranges.normalised(said)
    coverage = ((rank_, covered),) if covered else ()
    return KeyChange(
        key,
        grid,
        coverage,
        plain_rows(key, grid, rank_, indexes, values, commits) if indexes else b"",
        b"",
        coverage_rows(key, grid, coverage),
        len(indexes),
        (result, event),
    )


def cells_of(result: SeriesResult, event: SearchCompleted) -> KeyCells:
    """One result as cells."""
    complete = rank(event.matcher_version, True, event.attempt)
    lower = rank(event.matcher_version, False, event.attempt)
    table = event.commits
    refs = result.commit_refs
    commits: Sequence[str | None] = [table[ref] for ref in refs] if refs else [None] * len(result.indexes)
    if result.captures is None:
        points = [
            Point(index, "", value, commit, complete)
            for index, value, commit in zip(result.indexes, result.values, commits, strict=True)
            if value
        ]
    else:
        points = _captured(result, result.captures, commits, complete)
    coverage = [(complete, ranges.normalised(result.covered))] if result.covered else []
    holes: tuple[Hole, ...] = ()
    if result.incomplete:
        points += [
            Point(
                cell.index, "", cell.value, None if cell.commit_ref is None else table[cell.commit_ref], lower
            )
            for cell in result.incomplete
            if cell.value
        ]
        holes = tuple(Hole(cell.index, cell.reason, lower) for cell in result.incomplete)
        coverage.insert(0, (lower, ranges.of_indexes(cell.index for cell in result.incomplete)))
    unit, value = grid_of(result)
    return KeyCells(unit=unit, value=value, coverage=tuple(coverage), points=ordered(points), holes=holes)


def _captured(
    result: SeriesResult, captures: list[str], commits: Sequence[str | None], complete: int
) -> list[Point]:
    # Two long values may be equal once they are cut: their counts are one value's then.
    sums: dict[tuple[int, str], int] = {}
    commit_of: dict[int, str | None] = {}
    for index, capture, value, commit in zip(result.indexes, captures, result.values, commits, strict=True):
        cell = (index, cut(capture))
        sums[cell] = sums.get(cell, 0) + value
        commit_of.setdefault(index, commit)
    return [
        Point(index, capture, value, commit_of[index], complete)
        for (index, capture), value in sums.items()
        if value
    ]
