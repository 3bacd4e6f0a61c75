"""Reads over the series_points projection, inside a snapshot (``projections.reading``).

All of them are set-wise: one statement per kind of table for any number of series.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select, text

from projections.series_points import ranges
from projections.series_points.columns import Counts, SeriesColumns, Sources, assemble
from projections.series_points.tables import (
    INCOMPLETE_POINTS,
    SERIES_COVERAGE,
    SERIES_FAILED,
    SERIES_PLANNED,
    SERIES_POINTS,
)
from schemas.grid import Interval, TimeUnit

__all__ = [
    "CellState",
    "Counts",
    "RepositoryCell",
    "SeriesColumns",
    "captures",
    "columns",
    "per_repository",
    "progress",
]


_CELLS: Final = """
with planned as (
  select series_id, repo_id, unit, value, cells from series_points.series_planned where series_id = any(:ids)
), covered as (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
), failed as (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_failed where series_id = any(:ids) group by 1, 2
), cells as (
  select p.series_id, p.unit, p.value, p.cells as planned,
         p.cells * coalesce(c.cells, '{}') as covered,
         p.cells * coalesce(f.cells, '{}') - coalesce(c.cells, '{}') as failed,
         p.cells - coalesce(c.cells, '{}') - coalesce(f.cells, '{}') as open
  from planned p left join covered c using (series_id, repo_id) left join failed f using (series_id, repo_id)
)
select series_id, min(unit) as unit, min(value) as value, count(*) as repositories,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(planned) r))::bigint as planned,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(covered) r))::bigint as covered,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(failed) r))::bigint as failed,
       sum((select coalesce(sum(upper(r) - lower(r)), 0) from unnest(open) r))::bigint as open,
       range_agg(open)::text as open_frames
from cells group by series_id
"""
"""Counts of cells per series, and the frames in which some planned repository has no outcome yet."""


class CellState(msgspec.Struct, frozen=True):
    """What is known of a cell: ``state`` is complete, incomplete, failed or missing."""

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


def columns(connection: Connection, series_ids: Collection[str]) -> dict[str, SeriesColumns]:
    """The points of each series, ascending in time; a series without a plan is left out.

    A frame with any counted cell is a point: the sum over repositories of what is known, incomplete when any
    cell of it is a lower bound, has failed, or has no outcome yet. See ``SeriesColumns``.
    """
    ids = sorted(set(series_ids))
    counts = progress(connection, ids)
    return {
        series_id: assemble(count, sources)
        for (series_id, count), sources in zip(
            counts.items(), _sources(connection, list(counts)), strict=True
        )
    }


def progress(connection: Connection, series_ids: Collection[str]) -> dict[str, Counts]:
    """Cells planned, done and open of each series that has a plan."""
    ids = sorted(set(series_ids))
    statement = _placed(connection, _CELLS)
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
        for row in connection.execute(text(statement), {"ids": ids}).mappings()
    }


def per_repository(
    connection: Connection, series_id: str, time: datetime | None = None
) -> list[RepositoryCell]:
    """Every planned or counted cell of a series by repository and time; of one grid instant when ``time`` is given."""
    counts = progress(connection, [series_id]).get(series_id)
    if counts is None:
        return []
    interval = counts.interval
    wanted = None if time is None else interval.index_at(time)
    states = _states(connection, series_id, wanted)
    for repository_id, at, reason in connection.execute(
        select(INCOMPLETE_POINTS.c.repo_id, INCOMPLETE_POINTS.c.time, INCOMPLETE_POINTS.c.reason).where(
            INCOMPLETE_POINTS.c.series_id == series_id
        )
    ):
        cell = (repository_id, interval.index_at(at))
        if cell in states:
            states[cell] = CellState("incomplete", reason)
    values: dict[tuple[int, int], dict[str, float]] = {}
    commits: dict[tuple[int, int], str | None] = {}
    points = SERIES_POINTS.c
    query = select(points.repo_id, points.time, points.capture, points.value, points.commit).where(
        points.series_id == series_id
    )
    if wanted is not None:
        query = query.where(points.time == interval.instant(wanted))
    for repository_id, at, capture, value, commit in connection.execute(query):
        cell = (repository_id, interval.index_at(at))
        values.setdefault(cell, {})[capture] = value
        commits[cell] = commit
    return [
        RepositoryCell(
            repository_id=repository_id,
            time=interval.instant(index),
            index=index,
            value=sum(found.values())
            if (found := values.get((repository_id, index)))
            else (0.0 if known.state in ("complete", "incomplete") else None),
            state=known.state,
            reason=known.reason,
            commit=commits.get((repository_id, index)),
            captures={capture: value for capture, value in (found or {}).items() if capture},
        )
        for (repository_id, index), known in sorted(states.items())
    ]


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


def _sources(connection: Connection, series_ids: list[str]) -> Iterable[Sources]:
    covered: dict[str, ranges.Ranges] = {
        series_id: ranges.parse(cells)
        for series_id, cells in connection.execute(
            text(
                _placed(
                    connection,
                    "select series_id, range_agg(cells)::text from series_points.series_coverage"
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
        .where(points.series_id.in_(series_ids))
        .group_by(points.series_id, points.time)
    ):
        sums.setdefault(series_id, {})[time] = value
    holes = INCOMPLETE_POINTS.c
    reasons: dict[str, list[tuple[datetime, str, int]]] = {}
    for series_id, time, reason, number in connection.execute(
        select(holes.series_id, holes.time, holes.reason, func.count())
        .where(holes.series_id.in_(series_ids))
        .group_by(holes.series_id, holes.time, holes.reason)
    ):
        reasons.setdefault(series_id, []).append((time, reason, number))
    failed: dict[str, list[tuple[str, ranges.Ranges]]] = {}
    for series_id, reason, cells in connection.execute(
        text(_placed(connection, _FAILED_FRAMES)), {"ids": series_ids}
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


_FAILED_FRAMES: Final = """
select f.series_id, f.reason, f.cells - coalesce(c.cells, '{}') as cells
from series_points.series_failed f left join (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
) c using (series_id, repo_id)
where f.series_id = any(:ids) and not isempty(f.cells - coalesce(c.cells, '{}'))
"""
"""Failed cells that nothing covers, one row per repository and reason."""

_STATES: Final = """
select p.repo_id, (p.cells + coalesce(c.cells, '{}'))::text, coalesce(c.cells, '{}')::text
from series_points.series_planned p left join (
  select repo_id, range_agg(cells) as cells from series_points.series_coverage where series_id = :id group by 1
) c using (repo_id)
where p.series_id = :id
"""


def _states(connection: Connection, series_id: str, wanted: int | None) -> dict[tuple[int, int], CellState]:
    states: dict[tuple[int, int], CellState] = {}
    for repository_id, known, covered in connection.execute(
        text(_placed(connection, _STATES)), {"id": series_id}
    ):
        counted = set(ranges.indexes(ranges.parse(covered)))
        for index in ranges.indexes(ranges.parse(known)):
            if wanted is None or index == wanted:
                states[repository_id, index] = CellState("complete" if index in counted else "missing")
    failed = SERIES_FAILED.c
    for repository_id, reason, cells in connection.execute(
        select(failed.repo_id, failed.reason, failed.cells).where(failed.series_id == series_id)
    ):
        for part in cells:
            for index in range(part.lower, part.upper):
                known_state = states.get((repository_id, index))
                if known_state is not None and known_state.state == "missing":
                    states[repository_id, index] = CellState("failed", reason)
    return states


def _placed(connection: Connection, statement: str) -> str:
    """``statement`` with the placeholder schema replaced, as SQLAlchemy does for its own statements."""
    places = connection.get_execution_options().get("schema_translate_map", {})
    schema = places.get(SERIES_COVERAGE.schema, SERIES_PLANNED.schema)
    return statement.replace("series_points.series_", f'"{schema}".series_')


class KnownCells(msgspec.Struct, frozen=True):
    """Grid indexes of one series in one repository: ``planned``, and ``covered`` by a result of any rank."""

    planned: ranges.Ranges
    covered: ranges.Ranges


_KNOWN: Final = """
select series_id, repo_id, p.cells::text, c.cells::text
from (
  select series_id, repo_id, cells from series_points.series_planned
  where series_id = any(:ids) and (:everywhere or repo_id = any(:repositories))
) p full join (
  select series_id, repo_id, range_agg(cells) as cells from series_points.series_coverage
  where series_id = any(:ids) and (:everywhere or repo_id = any(:repositories)) group by 1, 2
) c using (series_id, repo_id)
"""


def known_cells(
    connection: Connection, series_ids: Collection[str], repository_ids: Collection[int] | None = None
) -> dict[tuple[str, int], KnownCells]:
    """What is planned and counted by (series, repository), for a planner; ``repository_ids`` None: in all of them."""
    rows = connection.execute(
        text(_placed(connection, _KNOWN)),
        {
            "ids": list(series_ids),
            "everywhere": repository_ids is None,
            "repositories": list(repository_ids or ()),
        },
    )
    return {
        (series_id, repo_id): KnownCells(ranges.parse(planned or "{}"), ranges.parse(covered or "{}"))
        for series_id, repo_id, planned, covered in rows
    }
