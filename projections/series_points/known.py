"""What a planner has to know before it asks for cells: which are planned, which are counted."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.series_points import ranges
from projections.series_points.statements import placed


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
        text(placed(connection, _KNOWN)),
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


class Asked(msgspec.Struct, frozen=True):
    """A half-open range of grid indexes of one series in one repository."""

    series_id: str
    repository_id: int
    first: int
    end: int


_NOT_PLANNED: Final = """
select a.series_id, a.repo_id, p.cells::text, c.cells::text
from unnest(cast(:series as text[]), cast(:repositories as bigint[]), cast(:firsts as int[]), cast(:ends as int[]))
  as a(series_id, repo_id, first, "end")
left join series_points.series_planned p using (series_id, repo_id)
left join lateral (
  select range_agg(cells) as cells from series_points.series_coverage s
  where s.series_id = a.series_id and s.repo_id = a.repo_id
) c on true
where p.cells is null or not (p.cells @> int4range(a.first, a."end"))
"""


def not_planned(connection: Connection, asked: Sequence[Asked]) -> dict[tuple[str, int], KnownCells]:
    """Those of ``asked`` whose ranges are not planned whole, with what is known there; each pair at most once."""
    rows = connection.execute(
        text(placed(connection, _NOT_PLANNED)),
        {
            "series": [one.series_id for one in asked],
            "repositories": [one.repository_id for one in asked],
            "firsts": [one.first for one in asked],
            "ends": [one.end for one in asked],
        },
    )
    return {
        (series_id, repo_id): KnownCells(ranges.parse(planned or "{}"), ranges.parse(covered or "{}"))
        for series_id, repo_id, planned, covered in rows
    }
