"""``User`` and its connection: accounts, and the caller. Addresses and tokens are for the user and site admins alone."""

from collections.abc import Sequence
from typing import Final

import msgspec
from ariadne import ObjectType, QueryType

from api.auth.user import Means, User, local_admin
from api.commands.errors import InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.operation import Operation
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.types.repositories import PageInfo
from infra.vault import user_subject
from projections.accounts import queries
from projections.accounts.queries import Account, Organization, Token
from schemas.accounts.names import LOCAL_ADMIN, LOCAL_ADMIN_ID, user_id

Person = Account | User
"""What ``User`` may be: an account, or a caller by name."""
MAXIMUM: Final = 1000
_CURSOR: Final = "users"

query = QueryType()
user_type = ObjectType("User")
token_type = ObjectType("AccessToken")


class UserPage(msgspec.Struct, frozen=True, kw_only=True):
    """``UserConnection``."""

    nodes: Sequence[Person]
    total_count: int
    page_info: PageInfo = PageInfo()


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """``AccessTokenConnection``."""

    nodes: Sequence[Token]
    total_count: int
    page_info: PageInfo = PageInfo()


class OrgPage(msgspec.Struct, frozen=True, kw_only=True):
    """``OrgConnection``."""

    nodes: Sequence[Organization]
    total_count: int
    page_info: PageInfo = PageInfo()


@query.field("currentUser")
def resolve_current_user(_: object, info: Info) -> User:
    return operation_of(info).user


@query.field("user")
def resolve_user(
    _: object, info: Info, username: str, min_position: list[str] | None = None
) -> Person | None:
    operation = operation_of(info)
    if username.lower() == LOCAL_ADMIN:
        return local_admin(Means.PROCESS)
    return queries.user_by_name(operation.reads.snapshot.connection, username)


@query.field("users")
def resolve_users(
    _: object,
    info: Info,
    first: int | None = None,
    after: str | None = None,
    query: str | None = None,
    min_position: list[str] | None = None,
) -> UserPage:
    require_site_admin(info)
    connection = operation_of(info).reads.snapshot.connection
    limit = page_size(first)
    found = queries.users(connection, first=limit + 1, after=after_name(_CURSOR, after), find=query or None)
    shown = found[:limit]
    announce(operation_of(info), shown)
    end = cursor(_CURSOR, shown[-1].username) if len(found) > limit else None
    return UserPage(
        nodes=shown,
        total_count=queries.count_users(connection, query or None),
        page_info=PageInfo(end_cursor=end, has_next_page=end is not None),
    )


@user_type.field("id")
def resolve_id(one: Person, _: Info) -> str:
    return ids.user_node_id(one.id)


@user_type.field("databaseID")
def resolve_database_id(one: Person, _: Info) -> str:
    return str(one.id)


@user_type.field("username")
def resolve_username(one: Person, _: Info) -> str:
    return name_of(one)


@user_type.field("displayName")
def resolve_display_name(one: Person, info: Info) -> str:
    account = _account(operation_of(info), one)
    sealed = None if account is None else account.display_name
    if account is None or sealed is None:
        return name_of(one)
    return operation_of(info).personal.get((user_subject(account.id), sealed)) or name_of(one)


@user_type.field("siteAdmin")
def resolve_site_admin(one: Person, _: Info) -> bool:
    return one.site_admin


@user_type.field("viewerCanAdminister")
def resolve_can_administer(one: Person, info: Info) -> bool:
    return may_administer(operation_of(info), one)


@user_type.field("url")
def resolve_url(one: Person, _: Info) -> str:
    return f"/users/{name_of(one)}"


@user_type.field("createdAt")
def resolve_created_at(one: Person, info: Info) -> object:
    account = _account(operation_of(info), one)
    return None if account is None else account.created_at


@user_type.field("emails")
def resolve_emails(one: Person, info: Info) -> list[dict[str, str]]:
    operation = operation_of(info)
    account = _account(operation, one) if may_administer(operation, one) else None
    if account is None or account.email_ref is None:
        return []
    address = operation.secrets.get(account.email_ref)
    return [] if address is None else [{"email": address}]


@user_type.field("accessTokens")
def resolve_tokens(one: Person, info: Info, first: int | None = None) -> TokenPage:
    operation = operation_of(info)
    if not may_administer(operation, one):
        return TokenPage(nodes=(), total_count=0)
    found = queries.tokens_of(operation.reads.snapshot.connection, one.id)
    limit = page_size(first)
    return TokenPage(
        nodes=found[:limit], total_count=len(found), page_info=PageInfo(has_next_page=len(found) > limit)
    )


@user_type.field("organizations")
def resolve_organizations(one: Person, info: Info) -> OrgPage:
    operation = operation_of(info)
    if not may_administer(operation, one):
        return OrgPage(nodes=(), total_count=0)
    found = queries.organizations(operation.reads.snapshot.connection, first=MAXIMUM, of_user=one.id)
    return OrgPage(nodes=found, total_count=len(found))


@token_type.field("id")
def resolve_token_id(one: Token, _: Info) -> str:
    return ids.node_id(ids.ACCESS_TOKEN, one.id)


@token_type.field("scopes")
def resolve_scopes(one: Token, _: Info) -> list[str]:
    return one.scopes.split(",")


def announce(operation: Operation, accounts: Sequence[Account]) -> None:
    """What the vault holds of one of them will be asked of all."""
    operation.secrets.announce(one.email_ref for one in accounts if one.email_ref is not None)
    operation.personal.announce(
        (user_subject(one.id), one.display_name) for one in accounts if one.display_name is not None
    )


def name_of(one: Person) -> str:
    """The user's name."""
    return one.name if isinstance(one, User) else one.username


def may_administer(operation: Operation, one: Person) -> bool:
    """Whether the caller may see what is the user's own, and change it."""
    return operation.user.site_admin or operation.user.id == one.id


def without_address(operation: Operation, names: Sequence[str]) -> list[str]:
    """Those of these users in whose accounts no address stands."""
    numbers = {name: user_id(name) for name in names}
    found = queries.users_by_ids(operation.reads.snapshot.connection, numbers.values())
    return [
        name for name, number in numbers.items() if number not in found or found[number].email_ref is None
    ]


def page_size(first: int | None) -> int:
    """How many entries a page has at most."""
    return MAXIMUM if first is None or first < 0 else min(first, MAXIMUM)


def after_name(kind: str, after: str | None) -> str | None:
    """The name behind which a page begins. Raises InputRefused."""
    if after is None:
        return None
    match parse_cursor(kind, after):
        case [str() as name]:
            return name
    raise InputRefused("after", "this is no cursor of this list")


def node_of(operation: Operation, key: str) -> Person | None:
    """The user behind a node id's key."""
    if not (key.isascii() and key.isdigit()):
        return None
    if int(key) == LOCAL_ADMIN_ID:
        return local_admin(Means.PROCESS)
    return queries.user_by_id(operation.reads.snapshot.connection, int(key))


def _account(operation: Operation, one: Person) -> Account | None:
    """What is known of the user; None for the local admin."""
    if isinstance(one, Account):
        return one
    if one.name == LOCAL_ADMIN:
        return None
    return queries.user_by_id(operation.reads.snapshot.connection, one.id)


bindables = [query, user_type, token_type]
