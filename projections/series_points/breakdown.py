"""The cells of series one by one: repository, frame, value, state. Set-wise: a fixed number of statements for any
number of series."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text

from projections.series_points import ranges
from projections.series_points.columns import CellState, RepositoryCell
from projections.series_points.statements import placed
from projections.series_points.tables import INCOMPLETE_POINTS, SERIES_FAILED, SERIES_POINTS
from schemas.grid import Interval, TimeUnit

_STATES: Final = """
select p.series_id, p.unit, p.value, p.repo_id,
       (p.cells + coalesce(c.cells, '{}'))::text, coalesce(c.cells, '{}')::text
from series_points.series_planned p left join (
  select series_id, repo_id, range_agg(cells) as cells
  from series_points.series_coverage where series_id = any(:ids) group by 1, 2
) c using (series_id, repo_id)
where p.series_id = any(:ids)
"""
"""Per series and repository: all cells planned or counted, and those counted."""

_Cell = tuple[int, int]
"""(repository id, grid index)."""


class _Found:
    """What the tables say about one series, by cell."""

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self.states: dict[_Cell, CellState] = {}
        self.values: dict[_Cell, dict[str, float]] = {}
        self.commits: dict[_Cell, str | None] = {}

    def cells(self) -> list[RepositoryCell]:
        """In order of repository and time."""
        return [
            self._cell(cell, state) for cell, state in sorted(self.states.items(), key=lambda item: item[0])
        ]

    def _cell(self, cell: _Cell, state: CellState) -> RepositoryCell:
        found = self.values.get(cell)
        counted = state.state in ("complete", "incomplete")
        return RepositoryCell(
            repository_id=cell[0],
            time=self.interval.instant(cell[1]),
            index=cell[1],
            value=sum(found.values()) if found else 0.0 if counted else None,
            state=state.state,
            reason=state.reason,
            commit=self.commits.get(cell),
            captures={capture: value for capture, value in (found or {}).items() if capture},
        )


def cells_of(
    connection: Connection, series_ids: Collection[str], time: datetime | None = None
) -> dict[str, list[RepositoryCell]]:
    """Every planned or counted cell of each series that has a plan; those of one grid instant when ``time`` is given."""
    ids = sorted(set(series_ids))
    found = _planned(connection, ids, time)
    _add_failed(connection, ids, found)
    _add_incomplete(connection, ids, found)
    _add_values(connection, ids, found, time)
    return {series_id: one.cells() for series_id, one in found.items()}


def _planned(connection: Connection, ids: list[str], time: datetime | None) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for series_id, unit, value, repository_id, known, covered in connection.execute(
        text(placed(connection, _STATES)), {"ids": ids}
    ):
        one = found.get(series_id)
        if one is None:
            one = found[series_id] = _Found(Interval(TimeUnit(unit), value))
        wanted = None if time is None else one.interval.index_at(time)
        counted = set(ranges.indexes(ranges.parse(covered)))
        for index in ranges.indexes(ranges.parse(known)):
            if wanted is None or index == wanted:
                one.states[repository_id, index] = CellState("complete" if index in counted else "missing")
    return found


def _add_failed(connection: Connection, ids: list[str], found: Mapping[str, _Found]) -> None:
    failed = SERIES_FAILED.c
    for series_id, repository_id, reason, cells in connection.execute(
        select(failed.series_id, failed.repo_id, failed.reason, failed.cells)
        .where(failed.series_id.in_(ids))
        .order_by(failed.reason.collate("C"))
    ):
        states = found[series_id].states if series_id in found else {}
        for part in cells:
            for index in range(part.lower, part.upper):
                state = states.get((repository_id, index))
                if state is not None and state.state == "missing":
                    states[repository_id, index] = CellState("failed", reason)


def _add_incomplete(connection: Connection, ids: list[str], found: Mapping[str, _Found]) -> None:
    holes = INCOMPLETE_POINTS.c
    for series_id, repository_id, at, reason in connection.execute(
        select(holes.series_id, holes.repo_id, holes.time, holes.reason).where(holes.series_id.in_(ids))
    ):
        one = found.get(series_id)
        cell = None if one is None else (repository_id, one.interval.index_at(at))
        if one is not None and cell in one.states:
            one.states[cell] = CellState("incomplete", reason)


def _add_values(
    connection: Connection, ids: list[str], found: Mapping[str, _Found], time: datetime | None
) -> None:
    points = SERIES_POINTS.c
    query = select(
        points.series_id, points.repo_id, points.time, points.capture, points.value, points.commit
    ).where(points.series_id.in_(ids))
    if time is not None:
        instants = {one.interval.instant(one.interval.index_at(time)) for one in found.values()}
        query = query.where(points.time.in_(sorted(instants)))
    for series_id, repository_id, at, capture, value, commit in connection.execute(query):
        one = found.get(series_id)
        if one is not None:
            cell = (repository_id, one.interval.index_at(at))
            one.values.setdefault(cell, {})[capture] = value
            one.commits[cell] = commit
