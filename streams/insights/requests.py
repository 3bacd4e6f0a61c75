"""Requests as the log takes them: series together as far as one event may hold them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from schemas.events import IndexRange, RequestedSeries, SeriesDefinition
from schemas.recordings.events import MAX_REQUEST_CELLS, MAX_REQUEST_SERIES

MAX_REQUEST_BYTES: Final = 256 * 1024
NOMINAL_FILES: Final = 1_000
"""Files that a repository is taken to have until it was counted: costs are compared, not believed."""
NOMINAL_CHANGES: Final = 10
"""Files that a push is taken to change."""


def requested(series: SeriesDefinition, frames: Iterable[IndexRange]) -> RequestedSeries:
    """``series`` at ``frames``."""
    return RequestedSeries(
        series_id=series.series_id,
        query=series.query,
        unit=series.unit,
        value=series.value,
        frames=list(frames),
        kind=series.kind,
        pattern_type=series.pattern_type,
    )


def size_bytes(series: RequestedSeries) -> int:
    """Of the series as it stands in an event."""
    return len(msgspec.json.encode(series))


def splits(
    series: Sequence[RequestedSeries], sizes_bytes: Mapping[str, int] | None = None
) -> list[list[RequestedSeries]]:
    """``series`` in order, as many together as one request may hold; ``sizes_bytes`` by series id where known."""
    found: list[list[RequestedSeries]] = [[]]
    together_bytes = together_cells = 0
    for one in series:
        own_bytes = size_bytes(one) if sizes_bytes is None else sizes_bytes[one.series_id]
        own_cells = sum(end - start for start, end in one.frames)
        if found[-1] and (
            together_bytes + own_bytes > MAX_REQUEST_BYTES
            or together_cells + own_cells > MAX_REQUEST_CELLS
            or len(found[-1]) == MAX_REQUEST_SERIES
        ):
            found.append([])
            together_bytes = together_cells = 0
        found[-1].append(one)
        together_bytes += own_bytes
        together_cells += own_cells
    return found


def frames_cost(series: Iterable[RequestedSeries]) -> float:
    """File instances that counting these frames looks at, by estimate: series share the frames of their grid."""
    frames = {
        (one.unit, one.value, index)
        for one in series
        for start, end in one.frames
        for index in range(start, end)
    }
    return float(NOMINAL_FILES * len(frames))
