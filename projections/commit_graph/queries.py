"""Reads over the commit graph, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from projections.commit_graph.nearest import Candidate, Known, nearest, present
from projections.commit_graph.tables import (
    AT_TIP,
    DIRTY,
    GRAPHS,
    LINKS,
    LOOKS,
    NEAREST,
    REFS,
    UPLOADS,
)

_MOST_REPLACED: Final = 100
"""How long a chain of uploads that replaced each other is followed: beyond it the derive step has long passed."""


class VisibleUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that answers at a commit, ``distance`` commits above it."""

    upload_id: int
    commit: str
    root: str
    indexer: str
    distance: int


class GraphState(msgspec.Struct, frozen=True, kw_only=True):
    """How current the graph of a repository is. All times are append times: what stands on the log is its clock.

    ``stale``: something has come that it does not show: an upload, commits or a push (then ``stale_since`` says when the first
    of it came), or commits of a push that nobody has told of yet (``waits_for_commits``). ``updated_at`` is the time of the
    newest event that it shows; None: there is none.
    """

    stale: bool
    stale_since: datetime | None
    waits_for_commits: bool
    updated_at: datetime | None


NOTHING_KNOWN: Final = GraphState(stale=False, stale_since=None, waits_for_commits=False, updated_at=None)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest whole look has told of: all that is reachable from ``tips``."""

    look_id: str
    pushed_offset: int
    boundary: str
    tips: tuple[str, ...]


class TipUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that is visible at the tip of refs that count."""

    upload_id: int
    commit: str
    refs: str
    is_default: bool


def nearest_uploads(connection: Connection, repository_id: int, commit: str) -> list[VisibleUpload]:
    """The uploads that answer at ``commit``, of each root and indexer the nearest, by root and indexer.

    An upload that was replaced since the graph was made leaves at once, and the one that took its place is there at once.
    """
    if not (key := _bytes(commit)):
        return []
    seen = _seen(connection, repository_id, key)
    known = _known(connection, repository_id, {one.upload_id for one in seen})
    return [
        VisibleUpload(
            upload_id=one.upload_id,
            commit=one.commit.hex(),
            root=one.root,
            indexer=one.indexer,
            distance=one.distance,
        )
        for one in nearest(seen, known)
    ]


def graph_state(connection: Connection, repository_id: int) -> GraphState:
    """How current the graph is; of a repository that nothing is known of it is current, and empty."""
    return graph_states(connection, (repository_id,)).get(repository_id, NOTHING_KNOWN)


def graph_states(connection: Connection, repository_ids: Collection[int]) -> dict[int, GraphState]:
    """The same of several, as far as anything is known of them."""
    graph, dirty = GRAPHS.c, DIRTY.c
    waits = (graph.pushed_offset > func.coalesce(graph.covered_offset, -1)) & func.coalesce(
        graph.removed, False
    ).is_(False)
    query = (
        select(
            dirty.repository_id,
            graph.pushed_at,
            waits.label("waits"),
            (dirty.dirty_token > dirty.update_token).label("dirty"),
            dirty.set_dirty_at,
            dirty.updated_at,
        )
        .select_from(DIRTY.outerjoin(GRAPHS, graph.repository_id == dirty.repository_id))
        .where(dirty.repository_id.in_(list(repository_ids)))
    )
    found: dict[int, GraphState] = {}
    for row in connection.execute(query):
        since = [at for at, counts in ((row.set_dirty_at, row.dirty), (row.pushed_at, row.waits)) if counts]
        found[row.repository_id] = GraphState(
            stale=bool(since),
            stale_since=min((at for at in since if at is not None), default=None),
            waits_for_commits=bool(row.waits),
            updated_at=row.updated_at,
        )
    return found


def visible_at_tips(connection: Connection, repository_id: int) -> list[TipUpload]:
    """Uploads that are visible at the tips of refs that count, by upload, the default branch first.

    As in ``nearest_uploads``, one that was replaced since gives its place at once to the one that took it.
    """
    columns = AT_TIP.c
    query = select(
        columns.upload_id, columns.commit_bytea, columns.branch_or_tag_name, columns.is_default_branch
    ).where(columns.repository_id == repository_id)
    rows = connection.execute(query).all()
    known = _known(connection, repository_id, {row.upload_id for row in rows})
    found = {
        TipUpload(
            upload_id=upload.upload_id,
            commit=bytes(row.commit_bytea).hex(),
            refs=row.branch_or_tag_name,
            is_default=row.is_default_branch,
        )
        for row in rows
        if (upload := present(row.upload_id, known)) is not None
    }
    return sorted(found, key=lambda one: (one.upload_id, not one.is_default, one.commit))


def at_default_tips(
    connection: Connection, uploads: Collection[tuple[int, int]]
) -> dict[tuple[int, int], bool]:
    """Those of these (repository, upload) that are visible at the tip of the default branch, each with True.

    As in ``nearest_uploads``, one that was replaced since gives its place at once to the one that took it.
    """
    columns = AT_TIP.c
    query = (
        select(columns.repository_id, columns.upload_id, UPLOADS.c.replaced_by, UPLOADS.c.gone)
        .join(
            UPLOADS,
            (UPLOADS.c.repository_id == columns.repository_id) & (UPLOADS.c.upload_id == columns.upload_id),
        )
        .where(
            columns.repository_id.in_(list({repository_id for repository_id, _ in uploads})),
            columns.is_default_branch,
            columns.upload_id.in_([upload_id for _, upload_id in uploads])
            | UPLOADS.c.replaced_by.is_not(None),
        )
    )
    found: set[tuple[int, int]] = set()
    replaced: dict[int, set[int]] = {}
    for row in connection.execute(query):
        if row.replaced_by is not None:
            replaced.setdefault(row.repository_id, set()).add(row.upload_id)
        elif not row.gone:
            found.add((row.repository_id, row.upload_id))
    for repository_id, ids in replaced.items():
        known = _known(connection, repository_id, ids)
        standing = (present(one, known) for one in ids)
        found.update((repository_id, one.upload_id) for one in standing if one is not None)
    return dict.fromkeys(found & set(uploads), True)


def coverages(connection: Connection, repository_ids: Collection[int]) -> dict[int, Coverage]:
    """How far the commits of these repositories are told of, where they are."""
    graph, look, ref = GRAPHS.c, LOOKS.c, REFS.c
    wanted = graph.repository_id.in_(list(repository_ids)) & graph.covered_offset.is_not(None)
    looks = connection.execute(
        select(graph.repository_id, graph.covered_offset, graph.covered_look, func.max(look.boundary))
        .join(
            LOOKS,
            (look.repository_id == graph.repository_id)
            & (look.pushed_offset == graph.covered_offset)
            & (look.look_id == graph.covered_look),
        )
        .where(wanted)
        .group_by(graph.repository_id)
    ).all()
    tips: dict[int, set[str]] = {}
    for repository_id, tip in connection.execute(
        select(ref.repository_id, ref.tip)
        .join(
            GRAPHS,
            (ref.repository_id == graph.repository_id)
            & (ref.pushed_offset == graph.covered_offset)
            & (ref.look_id == graph.covered_look),
        )
        .where(wanted)
    ):
        tips.setdefault(repository_id, set()).add(bytes(tip).hex())
    return {
        repository_id: Coverage(
            look_id=look_id,
            pushed_offset=offset,
            boundary=boundary,
            tips=tuple(sorted(tips.get(repository_id, ()))),
        )
        for repository_id, offset, look_id, boundary in looks
    }


def untold(connection: Connection, limit: int) -> list[tuple[int, str]]:
    """(repository, position of its newest push) of those whose push no whole look has answered, by id."""
    columns = GRAPHS.c
    query = (
        select(columns.repository_id, columns.pushed_position)
        .where(
            columns.pushed_offset > func.coalesce(columns.covered_offset, -1),
            func.coalesce(columns.removed, False).is_(False),
        )
        .order_by(columns.repository_id)
        .limit(limit)
    )
    return [(row.repository_id, row.pushed_position) for row in connection.execute(query)]


def left(connection: Connection, upload_ids: Collection[int]) -> frozenset[int]:
    """Those of the uploads that no answer can need any more: they are gone, and the derive step has passed that."""
    dirty = DIRTY.c
    query = (
        select(UPLOADS.c.upload_id)
        .select_from(UPLOADS.outerjoin(DIRTY, dirty.repository_id == UPLOADS.c.repository_id))
        .where(
            UPLOADS.c.upload_id.in_(list(upload_ids)),
            UPLOADS.c.gone,
            func.coalesce(dirty.dirty_token <= dirty.update_token, True),
        )
    )
    return frozenset(connection.scalars(query))


def _seen(connection: Connection, repository_id: int, commit: bytes) -> list[Candidate]:
    """What the commit's row and its link's row say."""
    own, link = NEAREST.c, LINKS.c
    rows = [
        (row.uploads, 0)
        for row in connection.execute(
            select(own.uploads).where(own.repository_id == repository_id, own.commit_bytea == commit)
        )
    ]
    rows += [
        (row.uploads, row.distance)
        for row in connection.execute(
            select(own.uploads, link.distance)
            .join(
                LINKS,
                (link.repository_id == own.repository_id) & (link.ancestor_commit_bytea == own.commit_bytea),
            )
            .where(link.repository_id == repository_id, link.commit_bytea == commit)
        )
    ]
    return [
        Candidate(int(upload_id), distance + further)
        for uploads, further in rows
        for upload_id, distance in msgspec.convert(uploads, dict[str, int]).items()
    ]


def _known(connection: Connection, repository_id: int, upload_ids: Iterable[int]) -> dict[int, Known]:
    """These uploads, and those that took their places."""
    columns = UPLOADS.c
    known: dict[int, Known] = {}
    wanted = set(upload_ids)
    for _ in range(_MOST_REPLACED):
        if not wanted:
            break
        for row in connection.execute(
            select(
                columns.upload_id,
                columns.commit_bytea,
                columns.root,
                columns.indexer,
                columns.replaced_by,
                columns.gone,
            ).where(columns.repository_id == repository_id, columns.upload_id.in_(list(wanted)))
        ):
            if row.commit_bytea is not None:
                known[row.upload_id] = Known(
                    row.upload_id,
                    bytes(row.commit_bytea),
                    row.root,
                    row.indexer,
                    row.replaced_by,
                    bool(row.gone),
                )
        wanted = (
            {one.replaced_by for one in known.values() if one.replaced_by is not None} - known.keys() - wanted
        )
    return known


def _bytes(commit: str) -> bytes:
    """The id's bytes; none for what is no full object id."""
    if len(commit) not in (40, 64):
        return b""
    try:
        return bytes.fromhex(commit)
    except ValueError:
        return b""
