"""Writes a batch of the access projection: a change of permissions only if it was never said before."""

from typing import Final

from projections.access.fold import Changes, laid_down
from projections.access.tables import METADATA
from projections.projection import Cursor
from projections.runner.rows import RowWriter

NEW: Final = """
insert into repo_changes (repo, source, event_id)
select * from unnest(%s::bigint[], %s::text[], %s::text[]) on conflict do nothing
returning repo, source, event_id
"""
_rows: Final = RowWriter(METADATA)


def write(cursor: Cursor, changes: Changes) -> int:
    """Apply ``changes``; the number of rows."""
    rows = _rows(cursor, changes.people)
    if changes.said:
        cursor.execute(NEW, [list(column) for column in zip(*changes.said, strict=True)])
        new = set(cursor.fetchall())
        rows += len(new)
        rows += _rows(cursor, laid_down(one for said, one in changes.said.items() if said in new))
    return rows
