"""Filling a generation of series_points that nobody reads yet: points go in without a key, and what was outranked goes out at the end.

Looking for the rows of an outranked cell needs the key that is missing meanwhile. So they stay, and are known afterwards: a row whose
rank is less than the one under which the coverage holds its cell.
"""

from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from projections.projection import Bulk, Connection, prepared
from projections.series_points import ranges
from projections.series_points.fold import fold
from projections.series_points.gathering import PointsGatherer
from projections.series_points.untouched import Untouched
from projections.series_points.writer import ANYTHING_COUNTED, write
from schemas.grid import Interval, TimeUnit

KEYLESS: Final = ("series_points", "insight_series_incomplete_points")
_AT_ONCE: Final = 10_000

_MAYBE: Final = """
select p.ctid::text, p.time, c.unit, c.value, c.cells::text
from {table} p
join (select series_id, repo_id, max(rank) as most from series_coverage group by 1, 2) k using (series_id, repo_id)
join series_coverage c on c.series_id = p.series_id and c.repo_id = p.repo_id and c.rank > p.rank
where p.rank < k.most
"""
"""Rows of keys in which something stands under a greater rank, with the cells that do: few, unless everything was counted again."""
_REMOVE: Final = "delete from {table} where ctid = any(%s::tid[])"


def begin(connection: Connection, fresh: bool) -> PointsGatherer:
    """For a worker that fills partitions; ``fresh``: of these nothing was ever applied, whatever others have written."""
    untouched = Untouched()
    if not fresh and connection.execute(ANYTHING_COUNTED).fetchone() != (False,):
        untouched.forget()
    return PointsGatherer(untouched, clears=False)


def finish(connection: Connection) -> None:
    """Remove the rows of outranked cells, in one transaction; a page of them at a time is in memory."""
    with connection.transaction():
        for table in KEYLESS:
            with connection.cursor(name="outranked") as found:
                found.itersize = _AT_ONCE
                found.execute(_MAYBE.format(table=table))
                while rows := found.fetchmany(_AT_ONCE):
                    places = [place for place, outranked in map(_judged, rows) if outranked]
                    if places:
                        connection.execute(_REMOVE.format(table=table), (places,))


def _judged(row: tuple[object, ...]) -> tuple[str, bool]:
    """(the place of a row, whether the cells beside it hold its cell)."""
    place, time, unit, value, cells = msgspec.convert(row, tuple[str, datetime, str, int, str])
    index = Interval(TimeUnit(unit), value).index_at(time)
    return place, any(start <= index < end for start, end in ranges.parse(cells))


BULK: Final = Bulk(frozenset(KEYLESS), begin, prepared(fold, partial(write, clears=False)), finish)
