"""Reads over the series_points projection, inside a snapshot (``projections.reading``).

All of them are set-wise: one statement per kind of table for any number of series.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Table,
    Text,
    cast,
    func,
    select,
    text,
    true,
    tuple_,
)

from projections.series_points import ranges
from projections.series_points.breakdown import cells_of
from projections.series_points.columns import (
    CellState,
    Counts,
    RepositoryCell,
    SeriesColumns,
    Sources,
    assemble,
    without_removed,
)
from projections.series_points.known import Asked, KnownCells, known_cells, not_planned
from projections.series_points.newest import (
    KnownCount,
    NewestPoint,
    RepositorySnapshot,
    known_counts,
    newest_of,
    newest_points,
    snapshots,
)
from projections.series_points.statements import placed
from projections.series_points.tables import INCOMPLETE_POINTS, SERIES_POINTS
from schemas.grid import Interval, TimeUnit

__all__ = [
    "Asked",
    "CellState",
    "Counts",
    "KnownCells",
    "KnownCount",
    "NewestPoint",
    "RepositoryCell",
    "RepositorySnapshot",
    "SeriesColumns",
    "captures",
    "cells_of",
    "columns",
    "known_cells",
    "known_counts",
    "newest_of",
    "newest_points",
    "not_planned",
    "per_repository",
    "progress",
    "snapshots",
    "without_removed",
]


_CELLS: Final = """
with covered as (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
), failed as (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_failed where series_id = any(:ids) group by 1, 2
), planned as (
  select p.series_id, p.repo_id, p.unit, p.value,
         case when p.repo_id = any(cast(:removed as bigint[])) then p.cells * coalesce(c.cells, '{}')
              else p.cells end as cells
  from series_points.series_planned p left join covered c using (series_id, repo_id)
  where p.series_id = any(:ids)
), cells as (
  select p.series_id, p.repo_id, p.unit, p.value, p.cells as planned,
         p.cells * coalesce(c.cells, '{}') as covered,
         p.cells * coalesce(f.cells, '{}') - coalesce(c.cells, '{}') as failed,
         p.cells - coalesce(c.cells, '{}') - coalesce(f.cells, '{}') as open
  from planned p left join covered c using (series_id, repo_id) left join failed f using (series_id, repo_id)
)
select series_id, min(unit) as unit, min(value) as value, count(*) filter (where not isempty(planned)) as repositories,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(planned) r))::bigint as planned,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(covered) r))::bigint as covered,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(failed) r))::bigint as failed,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(open) r))::bigint as open,
       range_agg(open)::text as open_frames
from cells group by series_id
"""
"""Counts of cells per series, and the frames in which some planned repository has no outcome yet.

Of a removed repository only what was counted is planned any more: nobody waits for the rest, and no frame lacks it."""


def columns(
    connection: Connection, series_ids: Collection[str], removed: Collection[int] = ()
) -> dict[str, SeriesColumns]:
    """The points of each series, ascending in time; a series without a plan is left out.

    Cells of the ``removed`` repositories that were never counted are as if they had not been planned; what was counted in
    them stays. Another projection knows which these are.

    A frame with any counted cell is a point: the sum over repositories of what is known, incomplete when any
    cell of it is a lower bound, has failed, or has no outcome yet. See ``SeriesColumns``.
    """
    ids = sorted(set(series_ids))
    counts = progress(connection, ids, removed)
    return {
        series_id: assemble(count, sources)
        for (series_id, count), sources in zip(
            counts.items(), _sources(connection, counts, removed), strict=True
        )
    }


def progress(
    connection: Connection, series_ids: Collection[str], removed: Collection[int] = ()
) -> dict[str, Counts]:
    """Cells planned, done and open of each series that has a plan. See ``columns`` for the ``removed``."""
    ids = sorted(set(series_ids))
    statement = placed(connection, _CELLS)
    return {
        row["series_id"]: Counts(
            interval=Interval(TimeUnit(row["unit"]), row["value"]),
            repositories=row["repositories"],
            planned_cells=row["planned"],
            covered_cells=row["covered"],
            failed_cells=row["failed"],
            open_cells=row["open"],
            open_frames=ranges.parse(row["open_frames"] or "{}"),
        )
        for row in connection.execute(text(statement), {"ids": ids, "removed": list(removed)}).mappings()
    }


def per_repository(
    connection: Connection, series_id: str, time: datetime | None = None
) -> list[RepositoryCell]:
    """Every planned or counted cell of a series by repository and time; of one grid instant when ``time`` is given."""
    return cells_of(connection, [series_id], time).get(series_id, [])


def captures(
    connection: Connection, series_ids: Collection[str]
) -> dict[str, dict[str, dict[datetime, float]]]:
    """Per series and captured value: the sum over repositories at each time. Values in order of text."""
    points = SERIES_POINTS.c
    query = (
        select(points.series_id, points.capture, points.time, func.sum(points.value))
        .where(points.series_id.in_(list(series_ids)), points.capture != "")
        .group_by(points.series_id, points.capture, points.time)
        .order_by(points.series_id, points.capture.collate("C"), points.time)
    )
    found: dict[str, dict[str, dict[datetime, float]]] = {series_id: {} for series_id in series_ids}
    for series_id, capture, time, value in connection.execute(query):
        found[series_id].setdefault(capture, {})[time] = value
    return found


def _planned_only(connection: Connection, counts: Mapping[str, Counts], table: Table) -> ColumnElement[bool]:
    """Leaves out the rows of cells that were counted and never planned: they belong to no total."""
    strays = [
        (series_id, repo_id, counts[series_id].interval.instant(index))
        for series_id, repo_id, cells in connection.execute(
            text(placed(connection, _STRAY)), {"ids": list(counts)}
        )
        for index in ranges.indexes(ranges.parse(cells))
    ]
    if not strays:
        return true()
    series, repositories, times = zip(*strays, strict=True)
    rows = (
        func.unnest(
            cast(list(series), ARRAY(Text)),
            cast(list(repositories), ARRAY(BigInteger)),
            cast(list(times), ARRAY(DateTime(timezone=True))),
        )
        .table_valued("series_id", "repo_id", "time")
        .render_derived()
    )
    return tuple_(table.c.series_id, table.c.repo_id, table.c.time).not_in(
        select(rows.c.series_id, rows.c.repo_id, rows.c.time)
    )


def _sources(
    connection: Connection, counts: Mapping[str, Counts], removed: Collection[int]
) -> Iterable[Sources]:
    series_ids = list(counts)
    covered: dict[str, ranges.Ranges] = {
        series_id: ranges.parse(cells)
        for series_id, cells in connection.execute(
            text(
                placed(
                    connection,
                    "select series_id, range_agg(c.cells * p.cells)::text from series_points.series_coverage c"
                    " join series_points.series_planned p using (series_id, repo_id)"
                    " where series_id = any(:ids) group by series_id",
                )
            ),
            {"ids": series_ids},
        )
    }
    points = SERIES_POINTS.c
    sums: dict[str, dict[datetime, float]] = {}
    for series_id, time, value in connection.execute(
        select(points.series_id, points.time, func.sum(points.value))
        .where(points.series_id.in_(series_ids), _planned_only(connection, counts, SERIES_POINTS))
        .group_by(points.series_id, points.time)
    ):
        sums.setdefault(series_id, {})[time] = value
    holes = INCOMPLETE_POINTS.c
    reasons: dict[str, list[tuple[datetime, str, int]]] = {}
    for series_id, time, reason, number in connection.execute(
        select(holes.series_id, holes.time, holes.reason, func.count())
        .where(holes.series_id.in_(series_ids), _planned_only(connection, counts, INCOMPLETE_POINTS))
        .group_by(holes.series_id, holes.time, holes.reason)
    ):
        reasons.setdefault(series_id, []).append((time, reason, number))
    failed: dict[str, list[tuple[str, ranges.Ranges]]] = {}
    for series_id, reason, cells in connection.execute(
        text(placed(connection, _FAILED_FRAMES)), {"ids": series_ids, "removed": list(removed)}
    ):
        failed.setdefault(series_id, []).append((reason, ranges.parse(cells)))
    return [
        Sources(
            covered=covered.get(series_id, ()),
            sums=sums.get(series_id, {}),
            incomplete=reasons.get(series_id, []),
            failed=failed.get(series_id, []),
        )
        for series_id in series_ids
    ]


_STRAY: Final = """
select c.series_id, c.repo_id, (c.cells - coalesce(p.cells, '{}'))::text
from (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
) c left join series_points.series_planned p using (series_id, repo_id)
where not isempty(c.cells - coalesce(p.cells, '{}'))
"""
"""Counted cells outside the plan: a request may come from elsewhere than our planner."""

_FAILED_FRAMES: Final = """
select f.series_id, f.reason, (f.cells * p.cells - coalesce(c.cells, '{}'))::text as cells
from series_points.series_failed f join series_points.series_planned p using (series_id, repo_id) left join (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
) c using (series_id, repo_id)
where f.series_id = any(:ids) and f.repo_id <> all(cast(:removed as bigint[]))
  and not isempty(f.cells * p.cells - coalesce(c.cells, '{}'))
"""
"""Failed cells that nothing covers, of repositories that are followed, one row per repository and reason."""
