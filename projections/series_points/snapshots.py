"""Snapshots: the newest count per (series, repository), as a fold sees it. Pure.

A result says the absolute count and which push announced the state that was counted. The greatest push wins, then
the greatest rank, among equals the first in partition order; pushes of a repository are compared by their offsets,
which lie on one partition.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from projections.series_points.cells import Key, rank
from projections.series_points.labels import cut
from schemas.events import SearchCompleted, SeriesResult, SnapshotOutcome


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``series_points_snapshots``; ``captures`` are counts by captured value, in order of text."""

    value: int
    captures: tuple[tuple[str, int], ...] | None
    commit: str | None
    pushed_offset: int
    rank: int
    reason: str | None
    counted_at: datetime
    limits: str | None

    @property
    def order(self) -> tuple[int, int]:
        """The greatest one stays."""
        return (self.pushed_offset, self.rank)


def snapshot_of(
    result: SeriesResult, outcome: SnapshotOutcome, event: SearchCompleted, counted_at: datetime
) -> Snapshot | None:
    """What ``result`` says of the newest state; None when it says nothing."""
    found = result.snapshot
    if found is None:
        return None
    return Snapshot(
        value=found.value,
        captures=None if found.captures is None else _merged(found.captures),
        commit=outcome.commit,
        pushed_offset=outcome.pushed_offset,
        rank=rank(event.matcher_version, found.incomplete is None, event.attempt),
        reason=found.incomplete,
        counted_at=counted_at,
        limits=outcome.limits,
    )


def keep(snapshots: dict[Key, Snapshot], key: Key, found: Snapshot) -> None:
    """Let ``found`` replace what is there, if it is newer; call in partition order."""
    before = snapshots.get(key)
    if before is None or before.order < found.order:
        snapshots[key] = found


def _merged(captures: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    # Two long values may be equal once they are cut: their counts are one value's then.
    sums: dict[str, int] = {}
    for label, value in captures.items():
        short = cut(label)
        sums[short] = sums.get(short, 0) + value
    return tuple(sorted((label, value) for label, value in sums.items() if value))
