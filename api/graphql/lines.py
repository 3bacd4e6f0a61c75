"""From the columns of a series to the line that a chart draws: pure.

A frame in which nothing is known has the value None: it is missing, and never 0.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from projections.series_points.columns import NOT_COUNTED, REMOVED, RepositoryCell, SeriesColumns
from projections.series_points.newest import NewestPoint
from schemas.events import SeriesDefinition

DEFAULT_LIMIT: Final = 20
DEFAULT_SAMPLES: Final = 90
_VERSION: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


class SortMode(StrEnum):
    RESULT_COUNT = "RESULT_COUNT"
    LEXICOGRAPHICAL = "LEXICOGRAPHICAL"
    DATE_ADDED = "DATE_ADDED"


class SortDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class DisplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are shown, in which order, and how many of their newest frames."""

    mode: SortMode = SortMode.RESULT_COUNT
    direction: SortDirection = SortDirection.DESC
    limit: int = DEFAULT_LIMIT
    samples: int = DEFAULT_SAMPLES


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """Cells (repository and frame): planned = done + open; done holds the failed ones."""

    planned: int = 0
    done: int = 0
    open: int = 0
    failed: int = 0


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest count of a line: the sum of its snapshots. No reason means complete."""

    time: datetime
    value: float
    reasons: Sequence[str]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``times``, ``values`` and ``reasons`` are parallel, oldest first; no reason means complete.

    They end with ``snapshot`` where it is newer than every frame that has a value. ``repositories`` are the ids that
    a filter left, None without a filter.
    """

    insight_id: int
    definition: SeriesDefinition
    capture: str | None
    times: Sequence[datetime]
    values: Sequence[float | None]
    reasons: Sequence[Sequence[str]]
    cells: Cells
    repositories: frozenset[int] | None = None
    snapshot: Newest | None = None

    @property
    def series_id(self) -> str:
        base = self.definition.series_id
        return base if self.capture is None else f"{base}-{self.capture}"

    @property
    def label(self) -> str:
        return self.definition.label if self.capture is None else self.capture

    @property
    def newest_value(self) -> float:
        """The value of the newest point; below every other when there is none."""
        return next((value for value in reversed(self.values) if value is not None), -1.0)

    @property
    def first_time(self) -> datetime | None:
        return next(
            (time for time, value in zip(self.times, self.values, strict=True) if value is not None), None
        )

    def newest(self, samples: int) -> "Line":
        """The line with its newest ``samples`` frames only."""
        if len(self.times) <= samples:
            return self
        start = len(self.times) - samples
        return msgspec.structs.replace(
            self, times=self.times[start:], values=self.values[start:], reasons=self.reasons[start:]
        )


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a series at each of its frames and now, over some set of repositories."""

    times: Sequence[datetime]
    values: Sequence[float | None]
    reasons: Sequence[Sequence[str]]
    cells: Cells
    captures: Mapping[str, Mapping[datetime, float]] = {}
    snapshot: Newest | None = None
    newest_captures: Mapping[str, float] = {}


NOTHING: Final = Frames(times=(), values=(), reasons=(), cells=Cells())


def frames_of_columns(columns: SeriesColumns, captures: Mapping[str, Mapping[datetime, float]]) -> Frames:
    """Over all repositories, from sums made by the database."""
    return Frames(
        times=columns.times,
        values=columns.values,
        reasons=[tuple(sorted(columns.reasons.get(time, ()))) for time in columns.times],
        cells=Cells(
            planned=columns.planned_cells,
            done=columns.done_cells,
            open=columns.open_cells,
            failed=columns.failed_cells,
        ),
        captures=captures,
    )


def frames_of_cells(cells: Iterable[RepositoryCell], repositories: Collection[int]) -> Frames:
    """Over ``repositories`` only."""
    by_time: dict[datetime, list[RepositoryCell]] = {}
    for cell in cells:
        if cell.repository_id in repositories and cell.state != REMOVED:
            by_time.setdefault(cell.time, []).append(cell)
    times = sorted(by_time)
    captures: dict[str, dict[datetime, float]] = {}
    for time in times:
        for cell in by_time[time]:
            for capture, value in cell.captures.items():
                of_capture = captures.setdefault(capture, {})
                of_capture[time] = of_capture.get(time, 0.0) + value
    states = [cell.state for found in by_time.values() for cell in found]
    open_cells, failed = states.count("missing"), states.count("failed")
    return Frames(
        times=times,
        values=[_sum(by_time[time]) for time in times],
        reasons=[
            tuple(sorted({reason for cell in by_time[time] if (reason := reason_of(cell))})) for time in times
        ],
        cells=Cells(planned=len(states), done=len(states) - open_cells, open=open_cells, failed=failed),
        captures=captures,
    )


def with_newest(frames: Frames, newest: NewestPoint | None) -> Frames:
    """``frames`` with their newest count behind them.

    Where a frame with a value is as new, that frame is the end of the line: the same state is not drawn twice. A
    frame that is planned and not counted yet may stand behind it.
    """
    if newest is None:
        return frames
    snapshot = Newest(time=newest.time, value=newest.value, reasons=tuple(sorted(newest.reasons)))
    frames = msgspec.structs.replace(frames, snapshot=snapshot, newest_captures=newest.captures)
    counted = [time for time, value in zip(frames.times, frames.values, strict=True) if value is not None]
    if counted and counted[-1] >= newest.time:
        return frames
    place = bisect_left(frames.times, newest.time)
    captures = {label: {**values} for label, values in frames.captures.items()}
    for label, value in newest.captures.items():
        captures.setdefault(label, {})[newest.time] = value
    return msgspec.structs.replace(
        frames,
        times=[*frames.times[:place], newest.time, *frames.times[place:]],
        values=[*frames.values[:place], newest.value, *frames.values[place:]],
        reasons=[*frames.reasons[:place], snapshot.reasons, *frames.reasons[place:]],
        captures=captures,
    )


def reason_of(cell: RepositoryCell) -> str:
    """Why a cell is no whole result; empty when it is."""
    if cell.state == "complete":
        return ""
    return NOT_COUNTED if cell.state == "missing" else cell.reason or cell.state


def lines_of(
    insight_id: int, definition: SeriesDefinition, frames: Frames, repositories: frozenset[int] | None = None
) -> list[Line]:
    """The line of a series, or one per captured value: where a frame is known and lacks a value, that is 0."""
    captured = definition.kind.value == "capture"
    if not captured:
        return [_line(insight_id, definition, None, frames, frames.values, repositories)]
    return [
        _line(
            insight_id,
            definition,
            capture,
            frames,
            [
                None if known is None else sums.get(time, 0.0)
                for time, known in zip(frames.times, frames.values, strict=True)
            ],
            repositories,
        )
        for capture, sums in sorted(frames.captures.items())
    ]


def shown(lines: Iterable[Line], options: DisplayOptions) -> list[Line]:
    """Sorted, at most ``limit``, each with its newest frames. Ties go by label, versions by their order."""
    ordered = sorted(lines, key=lambda line: _label_key(line.label))
    descending = options.direction is SortDirection.DESC
    match options.mode:
        case SortMode.LEXICOGRAPHICAL:
            ordered.sort(key=lambda line: _label_key(line.label), reverse=descending)
        case SortMode.RESULT_COUNT:
            ordered.sort(key=lambda line: line.newest_value, reverse=descending)
        case SortMode.DATE_ADDED:
            dated = [line for line in ordered if line.first_time is not None]
            dated.sort(
                key=lambda line: line.first_time.timestamp() if line.first_time else 0.0, reverse=descending
            )
            ordered = dated + [line for line in ordered if line.first_time is None]
    return [line.newest(options.samples) for line in ordered[: options.limit]]


def _line(
    insight_id: int,
    definition: SeriesDefinition,
    capture: str | None,
    frames: Frames,
    values: Sequence[float | None],
    repositories: frozenset[int] | None,
) -> Line:
    return Line(
        insight_id=insight_id,
        definition=definition,
        capture=capture,
        times=frames.times,
        values=values,
        reasons=frames.reasons,
        cells=frames.cells,
        repositories=repositories,
        snapshot=None if frames.snapshot is None else _of_capture(frames, frames.snapshot, capture),
    )


def _of_capture(frames: Frames, snapshot: Newest, capture: str | None) -> Newest:
    if capture is None:
        return snapshot
    return msgspec.structs.replace(snapshot, value=frames.newest_captures.get(capture, 0.0))


def _sum(cells: Sequence[RepositoryCell]) -> float | None:
    known = [cell.value for cell in cells if cell.value is not None]
    return sum(known) if known else None


def _label_key(label: str) -> tuple[int, tuple[int, ...], int, str, str]:
    """Versions before other labels; a release after its pre-releases."""
    found = _VERSION.fullmatch(label.strip())
    if found is None:
        return (1, (), 0, "", label)
    numbers = tuple(int(part or 0) for part in found.groups()[:3])
    return (0, numbers, 0 if found[4] else 1, found[4] or "", label)
