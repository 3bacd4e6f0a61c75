"""Who may see which repository, read inside a snapshot (``projections.reading``) that holds ``access``.

A repository that is not restricted is seen by everybody who has an account; a restricted one by the users that its last change
lists, and by site admins.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ARRAY, BigInteger, Connection, cast, func, select

from projections.access.tables import PEOPLE, PERMISSIONS, READERS
from schemas.accounts.names import LOCAL_ADMIN_ID

PROJECTION: Final = "access"
_P: Final = PERMISSIONS.c
_R: Final = READERS.c
_HOLDS: Final = (_R.repo == _P.repo) & (_R.change == _P.change) & (_R.part <= _P.parts)
"""A part of the readers that belongs to the change that holds now."""


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What was laid down last for a repository; ``users`` are the readers of a restricted one, by id."""

    restricted: bool
    users: tuple[int, ...]
    changed_at: datetime


def is_site_admin(connection: Connection, user_id: int) -> bool:
    """Whether the user sees everything."""
    if user_id == LOCAL_ADMIN_ID:
        return True
    columns = PEOPLE.c
    query = select(columns.user_id).where(
        columns.user_id == user_id, columns.site_admin, columns.deleted.is_(False)
    )
    return connection.scalar(query) is not None


def denied_to(connection: Connection, user_id: int) -> frozenset[int]:
    """The repositories that the user may not see; a user who is not known sees no restricted one."""
    if is_site_admin(connection, user_id):
        return frozenset()
    wanted = cast([user_id], ARRAY(BigInteger))
    closed = select(PEOPLE.c.user_id).where(PEOPLE.c.user_id == user_id, PEOPLE.c.deleted)
    granted = select(_P.repo).join(READERS, _HOLDS).where(_R.users.op("@>")(wanted), ~closed.exists())
    query = select(_P.repo).where(_P.restricted, _P.repo.not_in(granted))
    return frozenset(connection.scalars(query))


def may_see(connection: Connection, user_ids: Collection[int], repository_id: int) -> frozenset[int]:
    """Those of the users who may see the repository. Closed accounts see nothing."""
    wanted = frozenset(user_ids)
    if not wanted:
        return wanted
    ids = cast(list(wanted), ARRAY(BigInteger))
    rows = connection.execute(
        select(PEOPLE.c.user_id, PEOPLE.c.site_admin, PEOPLE.c.deleted).where(
            PEOPLE.c.user_id.in_(select(func.unnest(ids)))
        )
    ).all()
    closed = frozenset(row.user_id for row in rows if row.deleted)
    admins = frozenset(row.user_id for row in rows if row.site_admin) | ({LOCAL_ADMIN_ID} & wanted)
    laid_down = permissions_of(connection, repository_id)
    if laid_down is None or not laid_down.restricted:
        return wanted - closed
    return (wanted & (admins | frozenset(laid_down.users))) - closed


def permissions_of(connection: Connection, repository_id: int) -> Permissions | None:
    """What was laid down for a repository; None: nothing, and everybody sees it."""
    row = connection.execute(select(_P.restricted, _P.changed_at).where(_P.repo == repository_id)).first()
    if row is None:
        return None
    parts = select(_R.users).join(PERMISSIONS, _HOLDS).where(_P.repo == repository_id)
    users = sorted({user for part in connection.scalars(parts) for user in part})
    return Permissions(restricted=row.restricted, users=tuple(users), changed_at=row.changed_at)
