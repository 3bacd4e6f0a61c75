"""Reads over the repositories projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Row, cast, func, select

from projections.repositories.tables import REPO_NAMES

_LIVE = REPO_NAMES.c.registered_at.is_not(None) & REPO_NAMES.c.removed_at.is_(None)


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``repo_names``. ``clone_state`` is waiting, ready or failed.

    ``pushed_offset`` is that of the newest ``repository.pushed`` in the repository's partition, ``refs_fingerprint``
    and ``tip`` are what it said.
    """

    id: int
    name: str
    path: str | None
    clone_url: str | None
    fork: bool
    archived: bool
    private: bool
    default_branch: str | None
    tip: str | None
    shallow: bool
    registered_at: datetime
    registered_position: str
    removed_at: datetime | None
    clone_state: str
    clone_error: str | None
    pushed_offset: int | None = None
    refs_fingerprint: str | None = None


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A followed repository whose refs can be looked at, and what was said of them last."""

    id: int
    path: str | None
    clone_url: str | None
    tip: str | None
    pushed_offset: int
    refs_fingerprint: str


def all_repositories(connection: Connection) -> list[Repository]:
    """Every repository that is followed, by id."""
    return _read(connection, _LIVE)


def by_ids(connection: Connection, ids: Collection[int]) -> dict[int, Repository]:
    """The known ones of ``ids``, removed ones too (their past is still shown)."""
    known = REPO_NAMES.c.id.in_(list(ids)) & REPO_NAMES.c.registered_at.is_not(None)
    return {repository.id: repository for repository in _read(connection, known)}


def removed_ids(connection: Connection) -> set[int]:
    """Repositories that are not followed any more: their past is shown, the present goes on without them."""
    return set(connection.scalars(select(REPO_NAMES.c.id).where(REPO_NAMES.c.removed_at.is_not(None))))


def removed_until(connection: Connection, at: datetime) -> list[int]:
    """Repositories that are not followed any more, since ``at`` or longer."""
    return list(connection.scalars(select(REPO_NAMES.c.id).where(REPO_NAMES.c.removed_at <= at)))


def can_be_counted(repository: Repository) -> bool:
    """It is followed, and its clone is ready or has failed (who counts says why)."""
    return repository.removed_at is None and repository.clone_state != "waiting"


def settled(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of ``ids`` that can be counted (``can_be_counted``), as many ids as there are."""
    listed = func.unnest(cast(list(ids), ARRAY(BigInteger))).column_valued("listed")
    query = select(REPO_NAMES.c.id).where(
        REPO_NAMES.c.id.in_(select(listed)), _LIVE, REPO_NAMES.c.clone_state != "waiting"
    )
    return set(connection.scalars(query))


def watched(connection: Connection) -> list[Watched]:
    """Every followed repository whose clone is ready, by id."""
    columns = REPO_NAMES.c
    rows = connection.execute(
        select(
            columns.id,
            columns.path,
            columns.clone_url,
            columns.tip,
            columns.pushed_offset,
            func.coalesce(columns.refs_fingerprint, "").label("refs_fingerprint"),
        )
        .where(_LIVE, columns.clone_state == "ready", columns.pushed_offset.is_not(None))
        .order_by(columns.id)
    )
    return [Watched(**row._mapping) for row in rows]


def followed_since(connection: Connection, clone_state: str | None = None) -> list[tuple[int, str]]:
    """(id, position of the first registration) of every followed repository, in that state of its clone if one is
    named."""
    columns = REPO_NAMES.c
    query = select(columns.id, columns.registered_position).where(_LIVE).order_by(columns.id)
    if clone_state is not None:
        query = query.where(columns.clone_state == clone_state)
    return [(row.id, row.registered_position) for row in connection.execute(query)]


def by_name(connection: Connection, name: str) -> Repository | None:
    """The followed repository of this name; of several the one with the smallest id."""
    found = _read(connection, _LIVE & (REPO_NAMES.c.name == name))
    return found[0] if found else None


def by_location(connection: Connection, location: str) -> Repository | None:
    """The followed repository that is read at this path, or mirrored from this URL; of several the smallest id."""
    found = _read(
        connection, _LIVE & ((REPO_NAMES.c.path == location) | (REPO_NAMES.c.clone_url == location))
    )
    return found[0] if found else None


def page(
    connection: Connection, first: int, after: tuple[str, int] | None = None, find: str | None = None
) -> list[Repository]:
    """At most ``first`` followed repositories by (name, id), after that key; ``find`` is a part of the name."""
    where = _found(find)
    name, identity = REPO_NAMES.c.name.collate("C"), REPO_NAMES.c.id
    if after is not None:
        where &= (name > after[0]) | ((name == after[0]) & (identity > after[1]))
    query = select(REPO_NAMES).where(where).order_by(name, identity).limit(first)
    return [_repository(row) for row in connection.execute(query)]


def count(connection: Connection, find: str | None = None) -> int:
    """How many repositories are followed whose name contains ``find``."""
    return connection.scalars(select(func.count()).select_from(REPO_NAMES).where(_found(find))).one()


def _found(find: str | None) -> ColumnElement[bool]:
    return _LIVE & REPO_NAMES.c.name.icontains(find, autoescape=True) if find else _LIVE


def _read(connection: Connection, where: ColumnElement[bool]) -> list[Repository]:
    rows: Sequence[Row[tuple[object, ...]]] = connection.execute(
        select(REPO_NAMES).where(where).order_by(REPO_NAMES.c.id)
    ).all()
    return [_repository(row) for row in rows]


def _repository(row: Row[tuple[object, ...]]) -> Repository:
    return Repository(**row._mapping)
