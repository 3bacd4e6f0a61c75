"""Reads over the accounts projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, select

from projections.accounts.tables import ACCESS_TOKENS, ORG_MEMBERS, ORGS, USERS

_USERS: Final = USERS.c
_ORGS: Final = ORGS.c
_TOKENS: Final = ACCESS_TOKENS.c
_LIVE: Final = _USERS.created_at.is_not(None) & _USERS.deleted_at.is_(None)
_LIVE_ORG: Final = _ORGS.created_at.is_not(None) & _ORGS.deleted_at.is_(None)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user whose account is open. ``display_name`` is sealed; ``email_ref`` is the address' name in the vault."""

    id: int
    username: str
    display_name: str | None
    email_ref: str | None
    site_admin: bool
    created_at: datetime | None
    position: str | None


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation that there is."""

    id: int
    name: str
    display_name: str
    created_at: datetime


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was not revoked. ``scopes`` are separated by commas."""

    id: int
    user_id: int
    scopes: str
    note: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a token speaks, and how far."""

    account: Account
    scopes: str
    expires_at: datetime | None


def user_by_name(connection: Connection, name: str) -> Account | None:
    """The open account of this name, whatever its case."""
    return _one(connection, _USERS.username == name.lower())


def user_by_id(connection: Connection, user_id: int) -> Account | None:
    """The open account of this id."""
    return _one(connection, _USERS.id == user_id)


def users_by_ids(connection: Connection, user_ids: Collection[int]) -> dict[int, Account]:
    """The open ones of these accounts."""
    rows = connection.execute(select(*_columns()).where(_LIVE, _USERS.id.in_(list(user_ids)))).mappings()
    return {row["id"]: Account(**row) for row in rows}


def email_ref_of(connection: Connection, user_id: int) -> str | None:
    """Under which name the vault keeps the user's address; None without one, or without an open account."""
    found = user_by_id(connection, user_id)
    return None if found is None else found.email_ref


def email_refs(connection: Connection) -> frozenset[str]:
    """Under which names the vault keeps the addresses of open accounts: all of them."""
    query = select(_USERS.email_ref).where(_LIVE, _USERS.email_ref.is_not(None))
    return frozenset(ref for ref in connection.scalars(query) if ref is not None)


def users(
    connection: Connection, *, first: int, after: str | None = None, find: str | None = None
) -> list[Account]:
    """Open accounts by name, behind the name ``after``; ``find`` is a part of the name."""
    name = _USERS.username.collate("C")
    query = select(*_columns()).where(_found(find)).order_by(name).limit(first)
    if after is not None:
        query = query.where(name > after)
    return [Account(**row) for row in connection.execute(query).mappings()]


def count_users(connection: Connection, find: str | None = None) -> int:
    """How many accounts are open."""
    return connection.scalars(select(func.count()).select_from(USERS).where(_found(find))).one()


def bearer_of(connection: Connection, token_sha256: str) -> Bearer | None:
    """For whom the token of this hash speaks; None where it is unknown or revoked, or its user's account is closed."""
    query = (
        select(*_columns(), _TOKENS.scopes, _TOKENS.expires_at)
        .join(USERS, _USERS.id == _TOKENS.user_id)
        .where(_LIVE, _TOKENS.token_sha256 == token_sha256, _TOKENS.revoked_at.is_(None))
        .order_by(_TOKENS.id)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    given = dict(row)
    scopes, expires_at = given.pop("scopes"), given.pop("expires_at")
    return Bearer(account=Account(**given), scopes=scopes, expires_at=expires_at)


def tokens_of(connection: Connection, user_id: int) -> list[Token]:
    """The user's tokens that were not revoked, the newest first."""
    return _tokens(connection, _TOKENS.user_id == user_id)


def token(connection: Connection, token_id: int) -> Token | None:
    """One token that was not revoked."""
    found = _tokens(connection, _TOKENS.id == token_id)
    return found[0] if found else None


def token_by_hash(connection: Connection, token_sha256: str) -> Token | None:
    """The token whose text has this hash."""
    found = _tokens(connection, _TOKENS.token_sha256 == token_sha256)
    return found[0] if found else None


def organization_by_name(connection: Connection, name: str) -> Organization | None:
    """The organisation of this name, whatever its case."""
    return _organization(connection, _ORGS.name == name.lower())


def organization_by_id(connection: Connection, organization_id: int) -> Organization | None:
    """The organisation of this id."""
    return _organization(connection, _ORGS.id == organization_id)


def organizations(
    connection: Connection, *, first: int, after: str | None = None, of_user: int | None = None
) -> list[Organization]:
    """By name, behind the name ``after``; those to which the user belongs, where one is named."""
    name = _ORGS.name.collate("C")
    query = select(*_organization_columns()).where(_LIVE_ORG).order_by(name).limit(first)
    if after is not None:
        query = query.where(name > after)
    if of_user is not None:
        query = query.where(_ORGS.id.in_(_membership(ORG_MEMBERS.c.user_id == of_user, ORG_MEMBERS.c.org_id)))
    return [Organization(**row) for row in connection.execute(query).mappings()]


def count_organizations(connection: Connection) -> int:
    """How many there are."""
    return connection.scalars(select(func.count()).select_from(ORGS).where(_LIVE_ORG)).one()


def members(connection: Connection, organization_id: int) -> list[Account]:
    """Its members whose accounts are open, by name."""
    of = _membership(ORG_MEMBERS.c.org_id == organization_id, ORG_MEMBERS.c.user_id)
    query = select(*_columns()).where(_LIVE, _USERS.id.in_(of)).order_by(_USERS.username.collate("C"))
    return [Account(**row) for row in connection.execute(query).mappings()]


def is_member(connection: Connection, organization_id: int, user_id: int) -> bool:
    """Whether the user belongs to the organisation."""
    query = select(ORG_MEMBERS.c.is_member).where(
        ORG_MEMBERS.c.org_id == organization_id, ORG_MEMBERS.c.user_id == user_id
    )
    return bool(connection.scalar(query))


def _membership(condition: ColumnElement[bool], wanted: ColumnElement[int]) -> Select[int]:
    return select(wanted).where(condition, ORG_MEMBERS.c.is_member)


def _columns() -> Sequence[ColumnElement[object]]:
    return [_USERS[name] for name in Account.__struct_fields__]


def _organization_columns() -> Sequence[ColumnElement[object]]:
    return [_ORGS[name] for name in Organization.__struct_fields__]


def _found(find: str | None) -> ColumnElement[bool]:
    return _LIVE & _USERS.username.icontains(find, autoescape=True) if find else _LIVE


def _one(connection: Connection, condition: ColumnElement[bool]) -> Account | None:
    row = connection.execute(select(*_columns()).where(_LIVE, condition)).mappings().first()
    return None if row is None else Account(**row)


def _organization(connection: Connection, condition: ColumnElement[bool]) -> Organization | None:
    row = connection.execute(select(*_organization_columns()).where(_LIVE_ORG, condition)).mappings().first()
    return None if row is None else Organization(**row)


def _tokens(connection: Connection, condition: ColumnElement[bool]) -> list[Token]:
    columns = [_TOKENS[name] for name in Token.__struct_fields__]
    query = (
        select(*columns)
        .where(condition, _TOKENS.created_at.is_not(None), _TOKENS.revoked_at.is_(None))
        .order_by(_TOKENS.created_at.desc(), _TOKENS.id)
    )
    return [Token(**row) for row in connection.execute(query).mappings()]
