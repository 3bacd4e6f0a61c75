"""The derive step: base rows of one repository read, the graph made, three tables brought to it by one statement each.

The statements name no schema: the connection has the generation's as its search path.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString, TypeVar

import msgspec

from projections.commit_graph.base import LookRow, RefRow, UploadRow, base_of, commits_of
from projections.commit_graph.model import Base, Derived
from projections.commit_graph.tables import KEY
from projections.commit_graph.visibility import derive
from projections.projection import Compute, Cursor, Derive, Write

_GRAPH: Final = "select removed, pushed_at from lsif_commit_graphs where repository_id = %s"
_LOOKS: Final = (
    "select pushed_offset, look_id, batch, batches from lsif_commit_looks where repository_id = %s"
)
_REFS: Final = """
select pushed_offset, look_id, kind, name, tip, is_default, committed_at from lsif_refs where repository_id = %s
"""
_COMMITS: Final = "select commit_bytea, parents from lsif_commits where repository_id = %s"
_UPLOADS: Final = """
select upload_id, commit_bytea, root, indexer, replaced_by, gone from lsif_graph_uploads where repository_id = %s
"""
_NEAREST: Final = """
with new as (
  select %(key)s::bigint as repository_id, n.commit_bytea, n.uploads::jsonb as uploads
  from unnest(%(commits)s::bytea[], %(uploads)s::text[]) as n(commit_bytea, uploads)
), gone as (
  delete from lsif_nearest_uploads t
  where t.repository_id = %(key)s and not exists (select from new n where n.commit_bytea = t.commit_bytea)
)
insert into lsif_nearest_uploads as t (repository_id, commit_bytea, uploads) select * from new
on conflict (repository_id, commit_bytea) do update set uploads = excluded.uploads
where t.uploads is distinct from excluded.uploads
"""
_LINKS: Final = """
with new as (
  select %(key)s::bigint as repository_id, n.*
  from unnest(%(commits)s::bytea[], %(ancestors)s::bytea[], %(distances)s::int[])
    as n(commit_bytea, ancestor_commit_bytea, distance)
), gone as (
  delete from lsif_nearest_uploads_links t
  where t.repository_id = %(key)s and not exists (select from new n where n.commit_bytea = t.commit_bytea)
)
insert into lsif_nearest_uploads_links as t (repository_id, commit_bytea, ancestor_commit_bytea, distance) select * from new
on conflict (repository_id, commit_bytea) do update
set ancestor_commit_bytea = excluded.ancestor_commit_bytea, distance = excluded.distance
where (t.ancestor_commit_bytea, t.distance) is distinct from (excluded.ancestor_commit_bytea, excluded.distance)
"""
"""Either may change alone: another ancestor at the same distance is another link."""
_AT_TIP: Final = """
with new as (
  select %(key)s::bigint as repository_id, n.*
  from unnest(%(uploads)s::bigint[], %(commits)s::bytea[], %(names)s::text[], %(defaults)s::bool[])
    as n(upload_id, commit_bytea, branch_or_tag_name, is_default_branch)
), gone as (
  delete from lsif_uploads_visible_at_tip t where t.repository_id = %(key)s
  and not exists (select from new n where n.upload_id = t.upload_id and n.commit_bytea = t.commit_bytea)
)
insert into lsif_uploads_visible_at_tip as t
  (repository_id, upload_id, commit_bytea, branch_or_tag_name, is_default_branch) select * from new
on conflict (repository_id, upload_id, commit_bytea) do update
set branch_or_tag_name = excluded.branch_or_tag_name, is_default_branch = excluded.is_default_branch
where (t.branch_or_tag_name, t.is_default_branch)
  is distinct from (excluded.branch_or_tag_name, excluded.is_default_branch)
"""

R = TypeVar("R", bound=msgspec.Struct)


def read(cursor: Cursor, repository_id: int) -> Compute:
    """The base rows of one repository; the graph is made by what is given back."""
    base = _base(cursor, repository_id)

    def compute() -> Write:
        derived = derive(base)
        return lambda writing: write(writing, repository_id, derived)

    return compute


def write(cursor: Cursor, repository_id: int, derived: Derived) -> int:
    """Insert what is missing, update what has changed, delete what is gone; the number of rows written."""
    cursor.execute(
        _NEAREST,
        {
            "key": repository_id,
            "commits": [one.commit for one in derived.nearest],
            "uploads": [
                msgspec.json.encode(
                    {str(upload_id): distance for upload_id, distance in one.uploads}
                ).decode()
                for one in derived.nearest
            ],
        },
    )
    rows = cursor.rowcount
    cursor.execute(
        _LINKS,
        {
            "key": repository_id,
            "commits": [one.commit for one in derived.links],
            "ancestors": [one.ancestor for one in derived.links],
            "distances": [one.distance for one in derived.links],
        },
    )
    rows += cursor.rowcount
    cursor.execute(
        _AT_TIP,
        {
            "key": repository_id,
            "uploads": [one.upload_id for one in derived.at_tips],
            "commits": [one.commit for one in derived.at_tips],
            "names": [one.names for one in derived.at_tips],
            "defaults": [one.is_default for one in derived.at_tips],
        },
    )
    return rows + cursor.rowcount


def _base(cursor: Cursor, repository_id: int) -> Base:
    key = (repository_id,)
    uploads = _rows(cursor, _UPLOADS, key, UploadRow)
    graph = cursor.execute(_GRAPH, key).fetchone() or (None, None)
    removed, pushed_at = graph
    base = base_of(
        bool(removed),
        msgspec.convert(pushed_at, datetime | None, builtin_types=(datetime,)),
        _rows(cursor, _LOOKS, key, LookRow),
        _rows(cursor, _REFS, key, RefRow),
        uploads,
    )
    if not base.uploads:
        return base  # nothing is visible anywhere: the commits need not be read
    return msgspec.structs.replace(base, commits=commits_of(cursor.execute(_COMMITS, key)))


def _rows(cursor: Cursor, statement: LiteralString, key: tuple[int], row: type[R]) -> Sequence[R]:
    found = cursor.execute(statement, key).fetchall()
    names = row.__struct_fields__
    return [
        msgspec.convert(dict(zip(names, one, strict=True)), row, builtin_types=(bytes, datetime))
        for one in found
    ]


DERIVE: Final = Derive(
    dirty="lsif_dirty_repositories",
    key=KEY,
    tables=frozenset(("lsif_nearest_uploads", "lsif_nearest_uploads_links", "lsif_uploads_visible_at_tip")),
    read=read,
)
