"""Plans and results into cells.

The result of the fold is ready to be copied: rows are built here, while Postgres still writes the batch before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from projections.folding import Folding
from projections.series_points import ranges
from projections.series_points.cells import Key
from projections.series_points.outcomes import KeyChange, Said, change_of, grid_of
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
    said: dict[Key, list[Said]] = {}
    plans = _Plans()
    failures: dict[tuple[Key, str], list[tuple[int, int]]] = {}
    snapshots: dict[Key, Snapshot] = {}
    for folding in events:
        match folding.event.data:
            case SearchCompleted() as data:
                for result in data.series:
                    key = (result.series_id, data.repository_id)
                    if key in said:
                        said[key].append((result, data))
                    else:
                        said[key] = [(result, data)]
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
    keys, left_out = _key_changes(said)
    return CellChanges(
        keys=keys,
        left_out=left_out,
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


def _key_changes(said: dict[Key, list[Said]]) -> tuple[list[KeyChange], int]:
    tables: dict[int, list[bytes]] = {}
    changes: list[KeyChange] = []
    left_out = 0
    for key in sorted(said):
        results = said[key]
        if len(results) > 1:
            grid = grid_of(results[0][0])
            kept = [one for one in results if grid_of(one[0]) == grid]
            left_out += len(results) - len(kept)
            results = kept
        changes.append(change_of(key, results, tables))
    return changes, left_out


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
