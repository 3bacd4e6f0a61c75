"""Writes a batch: rows first, then what follows from them within the batch's transaction (which looks are whole, which are over)."""

from typing import Final

from projections.commit_graph.fold import Changes
from projections.commit_graph.tables import METADATA
from projections.projection import Cursor
from projections.runner.rows import RowWriter

SETTLE: Final = """
with whole as (
  select distinct on (repository_id) repository_id, pushed_offset, look_id from (
    select repository_id, pushed_offset, look_id from lsif_commit_looks where repository_id = any(%(told_of)s)
    group by 1, 2, 3 having count(*) = max(batches)
  ) w order by repository_id, pushed_offset desc, look_id collate "C" desc
), gone_refs as (
  delete from lsif_refs r using whole w
  where r.repository_id = w.repository_id and (r.pushed_offset, r.look_id collate "C") < (w.pushed_offset, w.look_id)
), gone_looks as (
  delete from lsif_commit_looks l using whole w
  where l.repository_id = w.repository_id and (l.pushed_offset, l.look_id collate "C") < (w.pushed_offset, w.look_id)
)
insert into lsif_commit_graphs as g (repository_id, covered_offset, covered_look)
select repository_id, pushed_offset, look_id from whole order by 1
on conflict (repository_id) do update set covered_offset = excluded.covered_offset, covered_look = excluded.covered_look
"""
"""The greatest whole look covers, and nothing before it is needed. It never becomes smaller, so the cut of the log into batches
cannot be seen in what is left."""

_rows: Final = RowWriter(METADATA)


def write(cursor: Cursor, changes: Changes) -> int:
    """Apply ``changes``; the number of rows."""
    rows = _rows(cursor, changes.upserts)
    if changes.told_of:
        cursor.execute(SETTLE, {"told_of": changes.told_of})
    return rows
