"""Sets of grid indexes as planners reckon with them. Pure."""

from collections.abc import Iterable, Sequence

from schemas.events import IndexRange

Cells = Sequence[IndexRange]
"""Disjoint half-open ranges of grid indexes, ascending."""
Pair = tuple[str, int]
"""(series id, repository id)."""


def subtract(ranges: Iterable[IndexRange], taken: Cells) -> list[IndexRange]:
    """What of ``ranges`` is not in ``taken``; empty ranges vanish."""
    left: list[IndexRange] = []
    for start, end in ranges:
        for taken_start, taken_end in sorted(taken):
            if taken_end <= start or taken_start >= end:
                continue
            if taken_start > start:
                left.append((start, taken_start))
            start = max(start, taken_end)
            if start >= end:
                break
        if start < end:
            left.append((start, end))
    return left
