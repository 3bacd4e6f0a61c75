"""``Org``: seen by its members and by site admins; for others there is none."""

from typing import Final

from ariadne import MutationType, ObjectType, QueryType

from api.commands import accounts
from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor
from api.graphql.operation import Operation
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.types.people import OrgPage, UserPage, after_name, page_size
from api.graphql.types.repositories import PageInfo
from api.graphql.writing import earlier, event_of, write
from projections.accounts import queries
from projections.accounts.queries import Organization
from schemas.accounts.names import LOCAL_ADMIN, organization_id
from schemas.events import (
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationMemberAdded,
    OrganizationMemberRemoved,
)
from schemas.registry import Payload

query = QueryType()
mutation = MutationType()
org_type = ObjectType("Org")
_CURSOR: Final = "organizations"


@query.field("organization")
def resolve_organization(
    _: object, info: Info, name: str, min_position: list[str] | None = None
) -> Organization | None:
    operation = operation_of(info)
    return _seen(operation, queries.organization_by_name(operation.reads.snapshot.connection, name))


@query.field("organizations")
def resolve_organizations(
    _: object,
    info: Info,
    first: int | None = None,
    after: str | None = None,
    min_position: list[str] | None = None,
) -> OrgPage:
    require_site_admin(info)
    connection = operation_of(info).reads.snapshot.connection
    limit = page_size(first)
    found = queries.organizations(connection, first=limit + 1, after=after_name(_CURSOR, after))
    shown = found[:limit]
    end = cursor(_CURSOR, shown[-1].name) if len(found) > limit else None
    return OrgPage(
        nodes=shown,
        total_count=queries.count_organizations(connection),
        page_info=PageInfo(end_cursor=end, has_next_page=end is not None),
    )


@mutation.field("createOrganization")
def resolve_create(_: object, info: Info, name: str, display_name: str | None = None) -> Organization:
    operation = operation_of(info)
    named = accounts.account_name(name, "name")
    number = organization_id(named)
    payload = OrganizationCreated(
        organization_id=number,
        name=named,
        display_name=accounts.display_name(display_name) or "",
        created_by=operation.user.name,
    )
    _said(info, payload, identity=ids.node_id(ids.ORG, number))
    if operation.user.name != LOCAL_ADMIN:
        member = OrganizationMemberAdded(
            organization_id=number, user_id=operation.user.id, changed_by=operation.user.name
        )
        _said(info, member, identity=ids.node_id(ids.ORG, number))
    found = queries.organization_by_id(operation.reads.snapshot.connection, number)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "The organisation was ended at the same moment.")
    return found


@mutation.field("deleteOrganization")
def resolve_delete(_: object, info: Info, organization: str) -> dict[str, object]:
    operation = operation_of(info)
    number = ids.organization_id_of(organization)
    payload = OrganizationDeleted(organization_id=number, deleted_by=operation.user.name)
    return _changed(info, number, payload, organization)


@mutation.field("addUserToOrganization")
def resolve_add(_: object, info: Info, organization: str, username: str) -> dict[str, object]:
    operation = operation_of(info)
    number = ids.organization_id_of(organization)
    account = queries.user_by_name(operation.reads.snapshot.connection, username)
    if account is None:
        raise InputRefused(
            "username",
            "there is no such user",
            remedy="Open an account first: millstream user create, or createUser.",
        )
    payload = OrganizationMemberAdded(
        organization_id=number, user_id=account.id, changed_by=operation.user.name
    )
    return _changed(info, number, payload, organization)


@mutation.field("removeUserFromOrganization")
def resolve_remove(_: object, info: Info, user: str, organization: str) -> dict[str, object]:
    operation = operation_of(info)
    number = ids.organization_id_of(organization)
    payload = OrganizationMemberRemoved(
        organization_id=number, user_id=ids.user_id_of(user), changed_by=operation.user.name
    )
    return _changed(info, number, payload, organization)


@org_type.field("id")
def resolve_id(one: Organization, _: Info) -> str:
    return ids.node_id(ids.ORG, one.id)


@org_type.field("members")
def resolve_members(one: Organization, info: Info) -> UserPage:
    found = queries.members(operation_of(info).reads.snapshot.connection, one.id)
    return UserPage(nodes=found, total_count=len(found))


def node_of(operation: Operation, key: str) -> Organization | None:
    """The organisation behind a node id's key, for those who may see it."""
    if not (key.isascii() and key.isdigit()):
        return None
    return _seen(operation, queries.organization_by_id(operation.reads.snapshot.connection, int(key)))


def _seen(operation: Operation, found: Organization | None) -> Organization | None:
    if found is None or operation.user.site_admin:
        return found
    member = queries.is_member(operation.reads.snapshot.connection, found.id, operation.user.id)
    return found if member else None


def _changed(info: Info, number: int, payload: Payload, node_id: str) -> dict[str, object]:
    """A change by a member or a site admin. Raises NOT_FOUND, also for those who may not see it."""
    operation = operation_of(info)
    event = event_of(info, payload)
    if earlier(info, event, identity=node_id) is None:
        connection = operation.reads.snapshot.connection
        if _seen(operation, queries.organization_by_id(connection, number)) is None:
            raise ApiError(Code.NOT_FOUND, "There is no such organisation.", field="organization", id=node_id)
        write(info, event, identity=node_id)
    return {}


def _said(info: Info, payload: Payload, *, identity: str) -> None:
    event = event_of(info, payload)
    if earlier(info, event, identity=identity) is None:
        write(info, event, identity=identity)


bindables = [query, mutation, org_type]
