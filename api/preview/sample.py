"""Which repositories a preview counts, and what their counts say about all of them. Pure."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from schemas.events import SeriesDefinition, SeriesKind
from streams.search.engine import CountQuery, CountRequest, CountResult

CAPTURES: Final = 20
"""Lines that a series of captured values has at most in a preview, the largest."""
_TIMEOUT: Final = "timeout"


class Place(msgspec.Struct, frozen=True):
    """A clone on this machine, and the series (by place in the request) that are about it."""

    repository_id: int
    folder: Path
    series: tuple[int, ...]


class Counted(msgspec.Struct, frozen=True):
    """One repository of the sample, counted."""

    place: Place
    result: CountResult


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted within the time. ``not_here``: without a clone on this machine, of those looked at;
    ``not_in_time``: begun and not ended; ``unreadable``: git could not read them; ``busy``: none, others count."""

    counted: tuple[Counted, ...] = ()
    not_here: int = 0
    not_in_time: int = 0
    unreadable: int = 0
    busy: bool = False
    duration_s: float = 0.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a preview. ``values``: of what was counted, scaled by ``share`` to what was left out for want of time.

    Nothing is made up for repositories without a clone, or that git cannot read. None where nothing was counted.
    ``complete`` is False where a count of the sample is a lower bound.
    """

    series: int
    label: str
    values: tuple[float | None, ...]
    complete: tuple[bool, ...]
    covered: int
    counted: int
    share: float = 1.0

    @property
    def is_estimate(self) -> bool:
        return self.share > 1.0


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole insight would cost. ``files`` are file instances looked at through all frames, ``counting_s`` the
    time of one counting process: measured at the sample, None where nothing was counted."""

    cells: int
    files: int | None
    counting_s: float | None


def order_of(repository_ids: Iterable[int]) -> list[int]:
    """The same order whenever it is asked for, and one that favours nobody: a prefix of it is a fair sample."""
    return sorted(repository_ids, key=lambda number: hashlib.blake2b(str(number).encode()).digest())


def request_of(
    series: Sequence[SeriesDefinition], place: Place, instants: tuple[datetime, ...]
) -> CountRequest:
    """What the engine is asked for; a query's key is its place in the request."""
    return CountRequest(
        queries=tuple(
            CountQuery(
                key=str(number),
                query=series[number].query,
                pattern_type=series[number].pattern_type.value,
                kind=series[number].kind.value,
                instants=instants,
            )
            for number in place.series
        )
    )


def ended_in_time(result: CountResult) -> bool:
    """Whether no cell was given up because the time was over."""
    return all(cell.reason != _TIMEOUT for cells in result.cells.values() for cell in cells)


def lines_of(
    series: Sequence[SeriesDefinition], covered: Sequence[Collection[int]], sample: Sample, frames: int
) -> list[Line]:
    """The lines of a preview of ``frames`` points. ``covered``: repository ids, one collection per series."""
    return [
        line
        for number, one in enumerate(series)
        for line in _lines(number, one, len(covered[number]), sample, frames)
    ]


def estimate_of(
    covered: Sequence[Collection[int]], sample: Sample, *, frames: int, sampled_frames: int
) -> Estimate:
    """The cost of all series over ``frames`` frames, from that of the sample over ``sampled_frames``.

    Frames share almost all their files' contents, so the time is rather less than this.
    """
    every = set().union(*covered) if covered else set()
    cells = frames * sum(len(one) for one in covered)
    if not sample.counted:
        return Estimate(cells=cells, files=None, counting_s=None)
    share = len(every) / len(sample.counted) * frames / sampled_frames
    files = sum(one.result.files for one in sample.counted)
    counting_s = sum(one.result.duration_s for one in sample.counted)
    return Estimate(cells=cells, files=round(files * share), counting_s=counting_s * share)


def _lines(number: int, one: SeriesDefinition, covered: int, sample: Sample, frames: int) -> list[Line]:
    key = str(number)
    results = [counted.result for counted in sample.counted if number in counted.place.series]
    known = covered - sample.not_here - sample.unreadable
    share = max(1.0, known / len(results)) if results else 1.0
    complete = tuple(all(result.cells[key][frame].complete for result in results) for frame in range(frames))

    def line(label: str, values: Sequence[int]) -> Line:
        return Line(
            series=number,
            label=label,
            values=tuple(_scaled(value, share) if results or not covered else None for value in values),
            complete=complete,
            covered=covered,
            counted=len(results),
            share=share,
        )

    if one.kind is SeriesKind.SEARCH:
        return [
            line(
                one.label,
                [sum(result.cells[key][frame].value for result in results) for frame in range(frames)],
            )
        ]
    captured = [_captured(results, key, frame) for frame in range(frames)]
    totals = sum(captured, Counter[str]())
    return [
        line(value, [frame[value] for frame in captured])
        for value, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:CAPTURES]
    ]


def _captured(results: Sequence[CountResult], key: str, frame: int) -> Counter[str]:
    total: Counter[str] = Counter()
    for result in results:
        found: Mapping[str, int] = result.captures[key][frame]
        total.update(found)
    return total


def _scaled(value: int, share: float) -> float:
    return float(round(value * share))
