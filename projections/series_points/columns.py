"""From sums, coverage and holes to the columns of a chart: pure, so that honesty can be tested by tables."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from projections.series_points import ranges
from projections.series_points.ranges import Ranges
from schemas.grid import Interval

NOT_COUNTED: Final = "not-counted"
"""Reason of a frame in which some planned repository has no outcome yet."""


REMOVED: Final = "removed"
"""State and reason of a cell that was never counted, and whose repository is followed no longer."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of one series: planned = covered + failed + open.

    ``covered_cells`` have a value (complete or a lower bound), ``failed_cells`` finally none, ``open_cells``
    none yet, and ``open_frames`` are the frames that hold an open cell. ``repositories`` are the planned ones. What was
    never counted in a repository that was removed is in none of them.
    """

    interval: Interval
    repositories: int
    planned_cells: int
    covered_cells: int
    failed_cells: int
    open_cells: int
    open_frames: Ranges

    @property
    def done_cells(self) -> int:
        """Cells with a final outcome."""
        return self.covered_cells + self.failed_cells


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the tables say about one series. ``incomplete`` is (time, reason, number of repositories);
    ``failed`` has one entry per repository and reason."""

    covered: Ranges
    sums: Mapping[datetime, float]
    incomplete: Sequence[tuple[datetime, str, int]]
    failed: Sequence[tuple[str, Ranges]]


class SeriesColumns(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart.

    ``times``, ``values`` and ``incomplete`` are parallel and hold every frame that was planned or counted.
    ``values`` is None for a frame in which nothing was counted: that is no point, and never 0. ``reasons`` says
    for each incomplete frame why, with the number of repositories (``not-counted``: some have no outcome yet,
    and 0 as their number, since they are counted in ``open_cells``).
    """

    interval: Interval
    indexes: tuple[int, ...]
    times: tuple[datetime, ...]
    values: tuple[float | None, ...]
    incomplete: tuple[bool, ...]
    reasons: Mapping[datetime, Mapping[str, int]]
    repositories: int
    planned_cells: int
    done_cells: int
    open_cells: int
    failed_cells: int


class CellState(msgspec.Struct, frozen=True):
    """What is known of a cell: ``state`` is complete, incomplete, failed or missing; or removed (``without_removed``)."""

    state: str
    reason: str = ""


class RepositoryCell(msgspec.Struct, frozen=True, kw_only=True):
    """One repository at one frame. ``value`` is None where nothing is known (missing or failed)."""

    repository_id: int
    time: datetime
    index: int
    value: float | None
    state: str
    reason: str = ""
    commit: str | None = None
    captures: Mapping[str, float] = {}


def without_removed(cells: Sequence[RepositoryCell], removed: Collection[int]) -> list[RepositoryCell]:
    """``cells`` with what was never counted in a ``removed`` repository as REMOVED: nobody waits for it any more."""
    return [
        msgspec.structs.replace(cell, state=REMOVED, reason=REMOVED)
        if cell.repository_id in removed and cell.state in ("missing", "failed")
        else cell
        for cell in cells
    ]


def assemble(counts: Counts, sources: Sources) -> SeriesColumns:
    """The columns of one series."""
    interval = counts.interval
    counted = set(ranges.indexes(sources.covered))
    reasons: dict[int, dict[str, int]] = {}
    for time, reason, number in sources.incomplete:
        of_frame = reasons.setdefault(interval.index_at(time), {})
        of_frame[reason] = of_frame.get(reason, 0) + number
    failed: set[int] = set()
    for reason, cells in sources.failed:
        for index in ranges.indexes(cells):
            failed.add(index)
            of_frame = reasons.setdefault(index, {})
            of_frame[reason] = of_frame.get(reason, 0) + 1
    for index in ranges.indexes(counts.open_frames):
        reasons.setdefault(index, {})[NOT_COUNTED] = 0
    indexes = sorted(counted | failed | set(ranges.indexes(counts.open_frames)))
    times = [interval.instant(index) for index in indexes]
    return SeriesColumns(
        interval=interval,
        indexes=tuple(indexes),
        times=tuple(times),
        values=tuple(
            sources.sums.get(time, 0.0) if index in counted else None
            for index, time in zip(indexes, times, strict=True)
        ),
        incomplete=tuple(index in reasons for index in indexes),
        reasons={
            time: reasons[index] for index, time in zip(indexes, times, strict=True) if index in reasons
        },
        repositories=counts.repositories,
        planned_cells=counts.planned_cells,
        done_cells=counts.done_cells,
        open_cells=counts.open_cells,
        failed_cells=counts.failed_cells,
    )
