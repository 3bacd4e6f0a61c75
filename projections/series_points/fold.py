"""Plans and results into cells.

The result of the fold is ready to be copied: rows are built here, while Postgres still writes the batch before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from projections.folding import Folding
from projections.series_points import ranges
from projections.series_points.cells import Hole, Key, KeyCells, Point, ordered, rank, reduce
from projections.series_points.copy_rows import hole_rows, point_rows
from projections.series_points.labels import cut
from projections.series_points.ranges import Ranges
from projections.series_points.snapshots import Snapshot, keep, snapshot_of
from schemas.events import (
    BackfillPlanned,
    PlannedScope,
    SearchCompleted,
    SearchFailed,
    SeriesResult,
    SnapshotOutcome,
)


class KeyChange(msgspec.Struct, frozen=True):
    """The cells of one (series, repository), and their rows as bytes for the case that all are new."""

    key: Key
    cells: KeyCells
    points: bytes
    holes: bytes


class PlanChange(msgspec.Struct, frozen=True):
    """Cells to be counted: of one series in many repositories."""

    series_id: str
    unit: str
    value: int
    cells: Ranges
    repository_ids: tuple[int, ...]


class FailChange(msgspec.Struct, frozen=True):
    """Cells that finally could not be counted."""

    key: Key
    reason: str
    cells: Ranges


class CellChanges(msgspec.Struct, frozen=True):
    """What a batch says; each list is sorted by primary key, and no key stands in it twice."""

    keys: list[KeyChange]
    plans: list[PlanChange]
    failures: list[FailChange]
    snapshots: list[tuple[Key, Snapshot]]


def fold(events: Sequence[Folding]) -> CellChanges:
    """What ``events`` say about cells."""
    outcomes: dict[Key, list[KeyCells]] = {}
    plans = _Plans()
    failures: dict[tuple[Key, str], list[tuple[int, int]]] = {}
    snapshots: dict[Key, Snapshot] = {}
    for folding in events:
        match folding.event.data:
            case SearchCompleted() as data:
                for result in data.series:
                    outcome = _outcome(result, data)
                    outcomes.setdefault((result.series_id, data.repository_id), []).append(outcome)
                if data.snapshot is not None:
                    _add_snapshots(data, data.snapshot, folding.event.time, snapshots)
            case SearchFailed() as data if data.final:
                for failed in data.series:
                    key = ((failed.series_id, data.repository_id), data.reason)
                    failures.setdefault(key, []).extend(failed.frames)
            case BackfillPlanned() as data:
                plans.add(data.scopes)
            case _:
                pass
    return CellChanges(
        keys=[
            key_change(key, reduce([one for one in found if one.grid == found[0].grid]))
            for key, found in sorted(outcomes.items(), key=lambda pair: pair[0])
        ],
        plans=[
            PlanChange(series_id, unit, value, cells, tuple(sorted(repositories)))
            for (series_id, unit, value, cells), repositories in sorted(
                plans.cells.items(), key=lambda pair: pair[0]
            )
        ],
        failures=[
            FailChange(key, reason, ranges.normalised(frames))
            for (key, reason), frames in sorted(failures.items(), key=lambda pair: pair[0])
        ],
        snapshots=sorted(snapshots.items(), key=lambda pair: pair[0]),
    )


def key_change(key: Key, cells: KeyCells) -> KeyChange:
    """``cells`` with their rows."""
    return KeyChange(
        key=key,
        cells=cells,
        points=point_rows(key, cells.unit, cells.value, cells.points),
        holes=hole_rows(key, cells.unit, cells.value, cells.holes) if cells.holes else b"",
    )


def _outcome(result: SeriesResult, event: SearchCompleted) -> KeyCells:
    complete = rank(event.matcher_version, True, event.attempt)
    lower = rank(event.matcher_version, False, event.attempt)
    table = event.commits
    refs = result.commit_refs
    commits: Sequence[str | None] = [table[ref] for ref in refs] if refs else [None] * len(result.indexes)
    in_order = result.captures is None and not result.incomplete and result.indexes == sorted(result.indexes)
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
    return KeyCells(
        unit=result.unit.value,
        value=result.value,
        coverage=tuple(coverage),
        points=tuple(points) if in_order else ordered(points),
        holes=holes,
    )


def _add_snapshots(
    event: SearchCompleted, outcome: SnapshotOutcome, counted_at: datetime, snapshots: dict[Key, Snapshot]
) -> None:
    for result in event.series:
        found = snapshot_of(result, outcome, event, counted_at)
        if found is not None:
            keep(snapshots, (result.series_id, event.repository_id), found)


class _Plans:
    """Cells that a batch plans, by series and grid; the first grid of a (series, repository) is its only one."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, int, Ranges], set[int]] = {}
        self._grids: dict[Key, tuple[str, int]] = {}

    def add(self, scopes: Iterable[PlannedScope]) -> None:
        for scope in scopes:
            for series in scope.series:
                grid = (series.unit.value, series.value)
                cells = ranges.normalised([(series.first_index, series.end_index)])
                self.cells.setdefault((series.series_id, *grid, cells), set()).update(
                    repository
                    for repository in scope.repositories
                    if self._grids.setdefault((series.series_id, repository), grid) == grid
                )


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
