"""Reads of the snapshots: the newest count of each (series, repository), and its sum: the last point of a chart.

Only what is planned counts (a request may come from elsewhere than our planner); what a reader may not see is
hidden by row security, and repositories that were removed are left out by the caller's word, since another
projection knows them.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.series_points.columns import NOT_COUNTED
from projections.series_points.statements import placed


class RepositorySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The newest count of one series in one repository. ``commit`` is None for an empty repository.

    ``reason`` says why ``value`` is a lower bound; None when it is whole. ``pushed_offset`` is the place of the push
    that announced what was counted.
    """

    value: int
    captures: Mapping[str, int] | None
    commit: str | None
    pushed_offset: int
    matcher_version: int
    reason: str | None
    counted_at: datetime


class KnownCount(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as another one may follow from it by a difference; ``limits`` is the digest of those it was counted
    under (None: it does not say)."""

    value: int
    commit: str | None
    pushed_offset: int
    matcher_version: int
    reason: str | None
    limits: str | None


class NewestPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of a series' snapshots. ``time`` is when the newest of them was counted.

    ``reasons`` say why it is a lower bound, each with its number of repositories (``not-counted``: planned ones
    without a snapshot); empty when it is whole.
    """

    time: datetime
    value: float
    reasons: Mapping[str, int]
    captures: Mapping[str, float] = {}


_ROWS: Final = """
select s.series_id, s.repo_id, s.value, s.captures, s.commit, s.pushed_offset, s.rank, s.reason, s.counted_at
from series_points.series_points_snapshots s join series_points.series_planned p using (series_id, repo_id)
where s.series_id = any(:ids) and (:everywhere or s.repo_id = any(:repositories))
"""

_COUNTS: Final = """
select s.series_id, s.repo_id, s.value, s.commit, s.pushed_offset, s.rank, s.reason, s.limits
from series_points.series_points_snapshots s join series_points.series_planned p using (series_id, repo_id)
where s.series_id = any(:ids) and s.repo_id = any(:repositories)
"""

_SUMS: Final = """
select p.series_id, s.reason, s.repo_id is null as missing, count(*) as repositories,
       sum(s.value)::double precision as value, max(s.counted_at) as counted_at
from series_points.series_planned p left join series_points.series_points_snapshots s using (series_id, repo_id)
where p.series_id = any(:ids) and p.repo_id not in (select unnest(cast(:removed as bigint[])))
group by 1, 2, 3
"""

_CAPTURES: Final = """
select s.series_id, c.key, sum(c.value::bigint)::double precision
from series_points.series_points_snapshots s join series_points.series_planned p using (series_id, repo_id)
cross join jsonb_each_text(s.captures) c
where s.series_id = any(:ids) and s.captures is not null
  and s.repo_id not in (select unnest(cast(:removed as bigint[])))
group by 1, 2
"""


def snapshots(
    connection: Connection, series_ids: Collection[str], repository_ids: Collection[int] | None = None
) -> dict[str, dict[int, RepositorySnapshot]]:
    """By series and repository: every planned one that has a snapshot, removed repositories too.

    ``repository_ids`` None: of all repositories.
    """
    found: dict[str, dict[int, RepositorySnapshot]] = {series_id: {} for series_id in series_ids}
    bindings = {
        "ids": sorted(found),
        "everywhere": repository_ids is None,
        "repositories": list(repository_ids or ()),
    }
    for row in connection.execute(text(placed(connection, _ROWS)), bindings):
        found[row.series_id][row.repo_id] = RepositorySnapshot(
            value=row.value,
            captures=row.captures,
            commit=row.commit,
            pushed_offset=row.pushed_offset,
            matcher_version=row.rank >> 17,
            reason=row.reason,
            counted_at=row.counted_at,
        )
    return found


def known_counts(
    connection: Connection, series_ids: Collection[str], repository_ids: Collection[int]
) -> dict[tuple[str, int], KnownCount]:
    """By (series, repository): the planned ones that have a snapshot."""
    bindings = {"ids": sorted(set(series_ids)), "repositories": sorted(set(repository_ids))}
    return {
        (row.series_id, row.repo_id): KnownCount(
            value=row.value,
            commit=row.commit,
            pushed_offset=row.pushed_offset,
            matcher_version=row.rank >> 17,
            reason=row.reason,
            limits=row.limits,
        )
        for row in connection.execute(text(placed(connection, _COUNTS)), bindings)
    }


def newest_points(
    connection: Connection, series_ids: Collection[str], removed: Collection[int] = ()
) -> dict[str, NewestPoint]:
    """The sum of each series that has a snapshot, over its planned repositories but the ``removed`` ones."""
    bindings = {"ids": sorted(set(series_ids)), "removed": list(removed)}
    captures: dict[str, dict[str, float]] = {}
    for series_id, label, value in connection.execute(text(placed(connection, _CAPTURES)), bindings):
        captures.setdefault(series_id, {})[label] = value
    parts: dict[str, list[tuple[str | None, int, float | None, datetime | None]]] = {}
    for row in connection.execute(text(placed(connection, _SUMS)), bindings):
        reason = NOT_COUNTED if row.missing else row.reason
        parts.setdefault(row.series_id, []).append((reason, row.repositories, row.value, row.counted_at))
    points = {series_id: _point(found, captures.get(series_id, {})) for series_id, found in parts.items()}
    return {series_id: point for series_id, point in points.items() if point is not None}


def newest_of(rows: Mapping[int, RepositorySnapshot], planned: Collection[int]) -> NewestPoint | None:
    """The sum over the ``planned`` repositories; None where none of them has a snapshot."""
    captures: dict[str, float] = {}
    parts: list[tuple[str | None, int, float | None, datetime | None]] = []
    for repository_id in planned:
        row = rows.get(repository_id)
        if row is None:
            parts.append((NOT_COUNTED, 1, None, None))
            continue
        parts.append((row.reason, 1, row.value, row.counted_at))
        for label, value in (row.captures or {}).items():
            captures[label] = captures.get(label, 0.0) + value
    return _point(parts, captures)


def _point(
    parts: Iterable[tuple[str | None, int, float | None, datetime | None]], captures: Mapping[str, float]
) -> NewestPoint | None:
    reasons: dict[str, int] = {}
    value = 0.0
    newest: datetime | None = None
    for reason, repositories, part, counted_at in parts:
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + repositories
        if counted_at is not None:
            value += part or 0.0
            newest = counted_at if newest is None else max(newest, counted_at)
    if newest is None:
        return None
    return NewestPoint(time=newest, value=value, reasons=reasons, captures=captures)
