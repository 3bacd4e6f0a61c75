"""Plans and results into cells.

The result of the fold is ready to be copied: rows are built here, while Postgres still writes the batch before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from projections.folding import Folding
from projections.series_points import ranges
from projections.series_points.cells import Key
from projections.series_points.copy_rows import Commits
from projections.series_points.outcomes import KeyChange, change_of, grid_of, merged
from projections.series_points.ranges import Ranges
from projections.series_points.snapshots import Snapshot, keep, snapshot_of
from schemas.events import (
    BackfillPlanned,
    PlannedScope,
    SearchCompleted,
    SearchFailed,
    SnapshotOutcome,
)


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
    """What a batch says; each list is sorted by primary key, and no key stands in it twice.

    ``left_out`` is the number of results on another grid than their key's first one.
    """

    keys: list[KeyChange]
    left_out: int
    plans: list[PlanChange]
    failures: list[FailChange]
    snapshots: list[tuple[Key, Snapshot]]


def fold(events: Sequence[Folding]) -> CellChanges:
    """What ``events`` say about cells."""
    results = _Results()
    plans = _Plans()
    failures: dict[tuple[Key, str], list[tuple[int, int]]] = {}
    snapshots: dict[Key, Snapshot] = {}
    for folding in events:
        match folding.event.data:
            case SearchCompleted() as data:
                results.add(data)
                if data.snapshot is not None:
                    _add_snapshots(data, data.snapshot, folding.event.time, snapshots)
            case SearchFailed() as data if data.final:
                for failed in data.series:
                    cause = ((failed.series_id, data.repository_id), data.reason)
                    failures.setdefault(cause, []).extend(failed.frames)
            case BackfillPlanned() as data:
                plans.add(data.scopes)
            case _:
                pass
    return CellChanges(
        keys=results.in_order(),
        left_out=results.left_out,
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


def _add_snapshots(
    event: SearchCompleted, outcome: SnapshotOutcome, counted_at: datetime, snapshots: dict[Key, Snapshot]
) -> None:
    for result in event.series:
        found = snapshot_of(result, outcome, event, counted_at)
        if found is not None:
            keep(snapshots, (result.series_id, event.repository_id), found)


class _Results:
    """What a batch's results say by key: rows are made of each while it is at hand, and put in order at the end."""

    def __init__(self) -> None:
        self.left_out = 0
        self._of_series: dict[str, dict[int, KeyChange]] = {}

    def add(self, event: SearchCompleted) -> None:
        commits = Commits.of(event.commits)
        repository_id = event.repository_id
        for result in event.series:
            series_id = result.series_id
            changes = self._of_series.get(series_id)
            if changes is None:
                changes = self._of_series[series_id] = {}
            before = changes.get(repository_id)
            if before is None:
                changes[repository_id] = change_of((series_id, repository_id), (result, event, commits))
            elif before.grid == grid_of(result):
                changes[repository_id] = merged(before, (result, event, commits))
            else:
                self.left_out += 1

    def in_order(self) -> list[KeyChange]:
        """Sorted by key."""
        return [
            changes[repository_id]
            for _, changes in sorted(self._of_series.items(), key=lambda pair: pair[0])
            for repository_id in sorted(changes)
        ]


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
