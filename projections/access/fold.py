"""Permissions of repositories, and who is a site admin, into rows.

A change of permissions that is published twice changes nothing the second time, whatever was laid down in between: an old one that
is said again, by a retry or a copied log, would open what was closed since. No guard judges these events, so their ids are kept here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from projections.changes import Keep, Rule, SparseTable, Upsert, upserts
from projections.folding import Folding
from schemas.events import RepositoryPermissionsChanged, UserAdminChanged, UserCreated, UserDeleted


def _last(*columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, Keep.LAST)


_PERMISSIONS: Final = _last("restricted", "change", "parts", "changed_at")
_READERS: Final = _last("change", "users")
_PEOPLE: Final = _last("site_admin", "deleted")


Said = tuple[int, str, str]
"""(repository, source, id) of an event."""


class Changes(msgspec.Struct, frozen=True):
    """``people`` to be written as they are; ``said`` holds each change of permissions once, of which those count that are new."""

    people: list[Upsert]
    said: dict[Said, Folding]


def fold(events: Sequence[Folding]) -> Changes:
    """What ``events`` change."""
    people = SparseTable("people", ("user_id",), _PEOPLE)
    said: dict[Said, Folding] = {}
    for folding in events:
        match folding.event.data:
            case RepositoryPermissionsChanged() as data:
                said.setdefault((data.repository_id, folding.event.source, folding.event.id), folding)
            case UserCreated() as data:
                people.set((data.user_id,), site_admin=data.site_admin)
            case UserAdminChanged() as data:
                people.set((data.user_id,), site_admin=data.site_admin)
            case UserDeleted() as data:
                people.set((data.user_id,), deleted=True)
            case _:
                pass
    return Changes(people.upserts(), said)


def laid_down(events: Iterable[Folding]) -> list[Upsert]:
    """The rows of changes of permissions that were never said before: of each repository the last one holds, whole."""
    permissions = SparseTable("repo_permissions", ("repo",), _PERMISSIONS)
    readers = SparseTable("repo_readers", ("repo", "part"), _READERS)
    for folding in events:
        data = folding.event.data
        if not isinstance(data, RepositoryPermissionsChanged):
            continue
        permissions.set(
            (data.repository_id,),
            restricted=data.restricted,
            change=data.change,
            parts=data.of,
            changed_at=folding.event.time,
        )
        readers.set((data.repository_id, data.part), change=data.change, users=sorted(set(data.users)))
    return upserts((permissions, readers))
