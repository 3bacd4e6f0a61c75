"""Plans and results into cells.

The result of the fold is ready to be copied: rows are built here, while Postgres still writes the batch before.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from projections.folding import Folding
from projections.series_points import ranges
from projections.series_points.cells import Hole, Key, KeyCells, Point, ordered, rank, reduce
from projections.series_points.copy_rows import hole_rows, point_rows
from projections.series_points.ranges import Ranges
from schemas.events import BackfillPlanned, PlannedScope, SearchCompleted, SearchFailed, SeriesResult

CAPTURE_MAX_BYTES: Final = 100


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


def fold(events: Sequence[Folding]) -> CellChanges:
    """What ``events`` say about cells."""
    outcomes: dict[Key, list[KeyCells]] = {}
    plans: dict[tuple[str, str, int, Ranges], set[int]] = {}
    failures: dict[tuple[Key, str], list[tuple[int, int]]] = {}
    for folding in events:
        match folding.event.data:
            case SearchCompleted() as data:
                for result in data.series:
                    outcome = _outcome(result, data)
                    outcomes.setdefault((result.series_id, data.repository_id), []).append(outcome)
            case SearchFailed() as data if data.final:
                for failed in data.series:
                    key = ((failed.series_id, data.repository_id), data.reason)
                    failures.setdefault(key, []).extend(failed.frames)
            case BackfillPlanned() as data:
                _plan(data.scopes, plans)
            case _:
                pass
    return CellChanges(
        keys=[
            key_change(key, reduce(found))
            for key, found in sorted(outcomes.items(), key=lambda pair: pair[0])
        ],
        plans=[
            PlanChange(series_id, unit, value, cells, tuple(sorted(repositories)))
            for (series_id, unit, value, cells), repositories in sorted(
                plans.items(), key=lambda pair: pair[0]
            )
        ],
        failures=[
            FailChange(key, reason, ranges.normalised(frames))
            for (key, reason), frames in sorted(failures.items(), key=lambda pair: pair[0])
        ],
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


def _plan(scopes: Iterable[PlannedScope], plans: dict[tuple[str, str, int, Ranges], set[int]]) -> None:
    for scope in scopes:
        for series in scope.series:
            cells = ranges.normalised([(series.first_index, series.end_index)])
            plan = (series.series_id, series.unit.value, series.value, cells)
            plans.setdefault(plan, set()).update(scope.repositories)


def _captured(
    result: SeriesResult, captures: list[str], commits: Sequence[str | None], complete: int
) -> list[Point]:
    # Two long values may be equal once they are cut: their counts are one value's then.
    sums: dict[tuple[int, str], int] = {}
    commit_of: dict[int, str | None] = {}
    for index, capture, value, commit in zip(result.indexes, captures, result.values, commits, strict=True):
        cell = (index, _cut(capture))
        sums[cell] = sums.get(cell, 0) + value
        commit_of.setdefault(index, commit)
    return [
        Point(index, capture, value, commit_of[index], complete)
        for (index, capture), value in sums.items()
        if value
    ]


def _cut(capture: str) -> str:
    data = capture.encode()
    if len(data) <= CAPTURE_MAX_BYTES:
        return capture
    return data[:CAPTURE_MAX_BYTES].decode(errors="ignore")
