"""Cells and ranks: which of several results holds a cell (DESIGN section 7, Points).

Rank = matcher version << 17 | complete << 16 | attempt. The greatest rank holds a cell, among equals the
first in partition order. Everything here is pure; states are what the tables hold, passed in.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from projections.series_points import ranges
from projections.series_points.ranges import Ranges

Key = tuple[str, int]
"""(series id, repository id)."""


class Point(msgspec.Struct, frozen=True, gc=False):
    """One row of ``series_points``: a nonzero count of one cell, for one captured value."""

    index: int
    capture: str
    value: int
    commit: str | None
    rank: int


class Hole(msgspec.Struct, frozen=True, gc=False):
    """One row of ``insight_series_incomplete_points``: the cell's value is a lower bound."""

    index: int
    reason: str
    rank: int


class KeyCells(msgspec.Struct, frozen=True):
    """What one (series, repository) gets: every cell at most once, under one rank.

    ``coverage`` is by rank, disjoint; it holds the incomplete cells too. ``points`` are sorted by index and
    capture, as the primary key is.
    """

    unit: str
    value: int
    coverage: tuple[tuple[int, Ranges], ...]
    points: tuple[Point, ...]
    holes: tuple[Hole, ...] = ()

    @property
    def grid(self) -> tuple[str, int]:
        """On which the indexes count."""
        return (self.unit, self.value)

    def covered(self) -> Ranges:
        """All cells, whatever their rank."""
        return ranges.normalised(pair for _, held in self.coverage for pair in held)


class Settled(msgspec.Struct, frozen=True):
    """How incoming cells meet those that are there.

    ``cells`` are those to be written, ``removed`` the indexes whose rows have to go first, ``coverage`` the
    whole new coverage of the key.
    """

    cells: KeyCells
    removed: tuple[int, ...]
    coverage: tuple[tuple[int, Ranges], ...]


def rank(matcher_version: int, complete: bool, attempt: int) -> int:
    """The rank of a cell's outcome; attempts are below 65,536."""
    return matcher_version << 17 | complete << 16 | attempt


def ordered(points: Iterable[Point]) -> tuple[Point, ...]:
    """In the order of the primary key."""
    return tuple(sorted(points, key=lambda point: (point.index, point.capture)))


def reduce(outcomes: Sequence[KeyCells]) -> KeyCells:
    """Several outcomes for one key, in partition order, as one."""
    if len(outcomes) == 1:
        return outcomes[0]
    held: dict[int, tuple[int, int]] = {}
    for place, outcome in enumerate(outcomes):
        for index, rank_ in _by_index(outcome.coverage).items():
            if index not in held or held[index][0] < rank_:
                held[index] = (rank_, place)
    return KeyCells(
        unit=outcomes[0].unit,
        value=outcomes[0].value,
        coverage=_by_rank({index: rank_ for index, (rank_, _) in held.items()}),
        points=ordered(
            point
            for place, outcome in enumerate(outcomes)
            for point in outcome.points
            if held[point.index] == (point.rank, place)
        ),
        holes=tuple(
            hole
            for place, outcome in enumerate(outcomes)
            for hole in outcome.holes
            if held[hole.index] == (hole.rank, place)
        ),
    )


def settle(existing: Iterable[tuple[int, Ranges]], incoming: KeyCells) -> Settled:
    """``incoming`` against the key's ``existing`` coverage: an equal or higher rank keeps its cell."""
    before = _by_index(existing)
    accepted = {
        index: rank_
        for index, rank_ in _by_index(incoming.coverage).items()
        if index not in before or before[index] < rank_
    }
    return Settled(
        cells=KeyCells(
            unit=incoming.unit,
            value=incoming.value,
            coverage=_by_rank(accepted),
            points=tuple(point for point in incoming.points if point.index in accepted),
            holes=tuple(hole for hole in incoming.holes if hole.index in accepted),
        ),
        removed=tuple(sorted(index for index in accepted if index in before)),
        coverage=_by_rank(before | accepted),
    )


def _by_index(coverage: Iterable[tuple[int, Ranges]]) -> dict[int, int]:
    return {index: rank_ for rank_, held in coverage for index in ranges.indexes(held)}


def _by_rank(held: Mapping[int, int]) -> tuple[tuple[int, Ranges], ...]:
    groups: dict[int, list[int]] = {}
    for index, rank_ in held.items():
        groups.setdefault(rank_, []).append(index)
    return tuple((rank_, ranges.of_indexes(group)) for rank_, group in sorted(groups.items()))
