"""From a result to the cells of one (series, repository), and to rows that are ready to be copied. Pure.

Nearly every result is plain: counted whole, in order, no captured values, no other result for its key in the batch. Its
rows are built straight from its lists; cells are made of it only where it meets others.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from projections.series_points import ranges
from projections.series_points.cells import Hole, Key, KeyCells, Point, ordered, rank, reduce
from projections.series_points.copy_rows import (
    Commits,
    Grid,
    coverage_rows,
    hole_rows,
    point_rows,
    rank_column,
    series_rows,
)
from projections.series_points.labels import cut
from projections.series_points.ranges import Ranges
from schemas.events import SearchCompleted, SeriesResult
from schemas.grid import TimeUnit

Said = tuple[SeriesResult, SearchCompleted, Commits]
"""A series' result, the event that holds it, and that event's commits as they are copied."""
Coverage = tuple[tuple[int, Ranges], ...]

PLACES: Final = [list(range(number)) for number in range(65)]
"""By their number, the references of a result that has its event for itself."""
UNITS: Final = {unit: unit.value for unit in TimeUnit}
"""Their texts, found faster than by the enumeration."""


class KeyChange(msgspec.Struct, frozen=True, gc=False):
    """What a batch says about one (series, repository).

    ``points``, ``covered`` and ``holes`` are the rows of the three tables as bytes, for the case that all are new;
    ``rows`` is how many points and holes these are. ``said`` is what ``cells`` are made of when they meet others.
    """

    key: Key
    points: bytes
    covered: bytes
    rows: int
    said: KeyCells | Said
    holes: bytes = b""

    def cells(self) -> KeyCells:
        """The same as cells."""
        return self.said if isinstance(self.said, KeyCells) else cells_of(*self.said)

    @property
    def grid(self) -> Grid:
        """On which the indexes count."""
        return self.said.grid if isinstance(self.said, KeyCells) else grid_of(self.said[0])

    @property
    def coverage(self) -> Coverage:
        """Which cells have an outcome, by rank."""
        return self.said.coverage if isinstance(self.said, KeyCells) else _coverage_of(*self.said[:2])


def change_of(key: Key, said: Said) -> KeyChange:
    """What one result says about ``key``."""
    return _plain(key, *said) or key_change(key, cells_of(*said))


def merged(before: KeyChange, said: Said) -> KeyChange:
    """What a further result on the same grid adds to it, in partition order."""
    return key_change(before.key, reduce([before.cells(), cells_of(*said)]))


def key_change(key: Key, cells: KeyCells) -> KeyChange:
    """``cells`` with their rows."""
    return KeyChange(
        key=key,
        points=point_rows(key, cells.grid, cells.points),
        holes=hole_rows(key, cells.grid, cells.holes) if cells.holes else b"",
        covered=coverage_rows(key, cells.grid, cells.coverage),
        rows=len(cells.points) + len(cells.holes),
        said=cells,
    )


def grid_of(result: SeriesResult) -> Grid:
    """On which the indexes of a result count."""
    return (UNITS[result.unit], result.value)


def is_plain(event: SearchCompleted, result: SeriesResult) -> bool:
    """Whether ``plain_rows`` takes it: one range counted, every point nonzero and with a commit, and these of one length."""
    indexes, covered = result.indexes, result.covered
    if (
        result.captures is not None
        or result.incomplete
        or len(result.commit_refs) != len(indexes)
        or 0 in result.values
        or len(covered) != 1
        or covered[0][0] >= covered[0][1]
    ):
        return False
    commits = event.commits
    return not indexes or (len(commits[0]) > 0 and (len(commits) == 1 or len(set(map(len, commits))) == 1))


def _plain(key: Key, result: SeriesResult, event: SearchCompleted, commits: Commits) -> KeyChange | None:
    indexes, values, refs = result.indexes, result.values, result.commit_refs
    if (
        result.captures is not None
        or result.incomplete
        or len(refs) != len(indexes)
        or 0 in values
        or (len(indexes) > 1 and indexes != sorted(indexes))
    ):
        return None
    places = len(commits.texts)
    if places >= len(PLACES) or refs != PLACES[places]:
        commits = commits.at(refs)
    series_id, repository_id = key
    rows = series_rows(series_id, UNITS[result.unit], result.value)
    column = rank_column(_complete_rank(event))
    points = rows.points(repository_id, column, indexes, values, commits) if indexes else b""
    covered = result.covered
    if len(covered) == 1 and covered[0][0] < covered[0][1]:
        row = rows.coverage(repository_id, column, *covered[0])
    else:
        row = coverage_rows(key, grid_of(result), _coverage_of(result, event))
    return KeyChange(key, points, row, len(indexes), (result, event, commits))


def _coverage_of(result: SeriesResult, event: SearchCompleted) -> Coverage:
    """Of a plain result."""
    covered = ranges.normalised(result.covered)
    return ((_complete_rank(event), covered),) if covered else ()


def _complete_rank(event: SearchCompleted) -> int:
    return event.matcher_version << 17 | 1 << 16 | event.attempt


def cells_of(result: SeriesResult, event: SearchCompleted, _: object = None) -> KeyCells:
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
