"""Permissions of repositories, and who is a site admin, into rows."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert, upserts
from projections.folding import Folding
from schemas.events import RepositoryPermissionsChanged, UserAdminChanged, UserCreated, UserDeleted


def _last(*columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, Keep.LAST)


_PERMISSIONS: Final = _last("restricted", "change", "parts", "changed_at")
_READERS: Final = _last("change", "users")
_PEOPLE: Final = _last("site_admin", "deleted")


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change: of each repository the last change holds, whole."""
    permissions = SparseTable("repo_permissions", ("repo",), _PERMISSIONS)
    readers = SparseTable("repo_readers", ("repo", "part"), _READERS)
    people = SparseTable("people", ("user_id",), _PEOPLE)
    for folding in events:
        match folding.event.data:
            case RepositoryPermissionsChanged() as data:
                permissions.set(
                    (data.repository_id,),
                    restricted=data.restricted,
                    change=data.change,
                    parts=data.of,
                    changed_at=folding.event.time,
                )
                readers.set(
                    (data.repository_id, data.part), change=data.change, users=sorted(set(data.users))
                )
            case UserCreated() as data:
                people.set((data.user_id,), site_admin=data.site_admin)
            case UserAdminChanged() as data:
                people.set((data.user_id,), site_admin=data.site_admin)
            case UserDeleted() as data:
                people.set((data.user_id,), deleted=True)
            case _:
                pass
    return upserts((permissions, readers, people))
