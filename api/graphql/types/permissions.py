"""Who may see a repository: laid down and shown by site admins alone."""

from collections.abc import Mapping, Sequence
from typing import Final

from ariadne import MutationType, ObjectType

from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, key_of, write
from projections.access.queries import permissions_of
from projections.accounts import queries as accounts
from projections.repositories.queries import Repository
from schemas.accounts.names import user_id
from schemas.events import RepositoryPermissionsChanged
from schemas.ids import derived_event_id, new_event_id
from schemas.repositories.events import MOST_READERS

MOST_REPOSITORIES: Final = 100
mutation = MutationType()
repository_type = ObjectType("Repository")


@mutation.field("setRepositoryPermissionsForUsers")
def resolve_set(
    _: object, info: Info, repository: str, user_permissions: Sequence[Mapping[str, str]]
) -> dict[str, object]:
    require_site_admin(info)
    names = sorted({one["bind_id"].strip().lower() for one in user_permissions})
    if len(names) > MOST_READERS:
        raise InputRefused("userPermissions", f"{len(names):,} users; at most {MOST_READERS:,} are taken")
    wanted = {user_id(name): name for name in names}
    known = accounts.users_by_ids(operation_of(info).reads.snapshot.connection, wanted)
    unknown = sorted(name for number, name in wanted.items() if number not in known)
    if unknown:
        raise InputRefused(
            "userPermissions",
            f"there is no user {unknown[0]}",
            remedy="Open the account first: createUser, or millstream user create.",
        )
    return {"position": _lay_down(info, repository, restricted=True, users=sorted(wanted))}


@mutation.field("setRepositoryPermissionsUnrestricted")
def resolve_unrestricted(
    _: object, info: Info, repositories: Sequence[str], unrestricted: bool
) -> dict[str, object]:
    require_site_admin(info)
    if len(repositories) > MOST_REPOSITORIES:
        raise InputRefused("repositories", f"at most {MOST_REPOSITORIES} are taken at once")
    for one in repositories:
        before = permissions_of(
            operation_of(info).reads.snapshot.connection, ids.repository_id_of(one, "repositories")
        )
        listed = [] if before is None else list(before.users)
        _lay_down(info, one, restricted=not unrestricted, users=listed)
    return {}


@repository_type.field("permissionsInfo")
def resolve_permissions(one: Repository, info: Info) -> dict[str, object] | None:
    operation = operation_of(info)
    if not operation.user.site_admin:
        return None
    connection = operation.reads.snapshot.connection
    found = permissions_of(connection, one.id)
    if found is None:
        return {"unrestricted": True, "usernames": [], "updated_at": None}
    known = accounts.users_by_ids(connection, found.users)
    return {
        "unrestricted": not found.restricted,
        "usernames": sorted(account.username for account in known.values()),
        "updated_at": found.changed_at,
    }


def _lay_down(info: Info, node_id: str, *, restricted: bool, users: list[int]) -> str:
    operation, number = operation_of(info), ids.repository_id_of(node_id, "repository")
    key = key_of(info)
    change = new_event_id() if key is None else derived_event_id("change", operation.user.name, key, number)
    parts = [users[begin : begin + MOST_READERS] for begin in range(0, len(users), MOST_READERS)] or [[]]
    position = ""
    for part, listed in enumerate(parts, start=1):
        event = event_of(
            info,
            RepositoryPermissionsChanged(
                repository_id=number,
                restricted=restricted,
                change=change,
                users=listed,
                part=part,
                of=len(parts),
            ),
            # The first part is called as the only one always was: a repeat of an old request is known.
            part=number if part == 1 else f"{number}/{part}",
        )
        written = earlier(info, event, identity=node_id)
        if written is None:
            if operation.reads.repositories.get(number) is None:
                raise ApiError(
                    Code.NOT_FOUND, "This repository is not followed.", field="repository", id=node_id
                )
            written = write(info, event, identity=node_id)
        position = str(written.position)
    return position


bindables = [mutation, repository_type]
