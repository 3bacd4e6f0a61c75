"""Who may see a repository: laid down and shown by site admins alone."""

from collections.abc import Mapping, Sequence
from typing import Final

from ariadne import MutationType, ObjectType

from api.commands.errors import ApiError, Code, InputRefused
from api.event_status import INDEX
from api.graphql import ids
from api.graphql.operation import wait_until_applied
from api.graphql.types.admin import operating_of, require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, key_of, said_before, write
from infra.kafka.partitioner import partition_for
from projections.access.queries import PROJECTION as ACCESS
from projections.access.queries import permissions_of
from projections.accounts import queries as accounts
from projections.repositories.queries import Repository
from schemas.accounts.names import user_id
from schemas.envelope import Position
from schemas.events import RepositoryPermissionsChanged
from schemas.ids import derived_event_id, new_event_id
from schemas.repositories.events import MOST_READERS
from schemas.topics import Topic
from streams.log_ends import TopicEnds

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
        number = ids.repository_id_of(one, "repositories")
        said = _said_before(info, number)
        listed = _readers_now(info, number) if said is None else said
        _lay_down(info, one, restricted=not unrestricted, users=listed)
    return {}


def _readers_now(info: Info, number: int) -> list[int]:
    """The readers that were laid down last, as the log has it now: of an older list, somebody may have been taken away since.

    Raises ApiError NOT_YET_APPLIED; KafkaError.
    """
    _wait_for_all_said(info, number, ACCESS)
    found = permissions_of(operation_of(info).reads.snapshot.connection, number)
    return [] if found is None else list(found.users)


def _wait_for_all_said(info: Info, number: int, projection: str) -> None:
    """Wait until ``projection`` has applied all that the log says of the repository now. Raises ApiError NOT_YET_APPLIED, KafkaError."""
    operation = operation_of(info)
    services = operation.services
    operation.renew()  # no transaction is held open while projections are waited for
    ends = TopicEnds(operating_of(info).admin).ends([Topic.REPOSITORIES])
    place = partition_for(str(number), len(ends))
    newest = Position(Topic.REPOSITORIES.value, place, ends[Topic.REPOSITORIES.value, place] - 1)
    if newest.offset >= 0:
        wait_until_applied(services.reader, {projection: [newest.topic]}, [newest], services.limits.wait_s)


def _said_before(info: Info, number: int) -> list[int] | None:
    """The readers that this request laid down when it was said first; None when it was not.

    Raises ApiError REFUSED where not all of them are on the log: nobody knows any more who the others were.
    """
    asked = RepositoryPermissionsChanged(repository_id=number, restricted=True, change="asked")
    first = said_before(info, event_of(info, asked, part=number))
    if not isinstance(first, RepositoryPermissionsChanged):
        return None
    listed = list(first.users)
    if first.of > 1:
        _wait_for_all_said(info, number, INDEX)
    for part in range(2, first.of + 1):
        said = said_before(info, event_of(info, asked, part=f"{number}/{part}"))
        if not isinstance(said, RepositoryPermissionsChanged):
            raise ApiError(
                Code.REFUSED,
                f"Part {part} of {first.of} of the readers was never said, and nobody in it sees the repository.",
                remedy="Lay the readers down anew: setRepositoryPermissionsForUsers.",
                id=ids.repository_node_id(number),
            )
        listed += said.users
    return listed


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
