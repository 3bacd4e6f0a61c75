"""Events on ``millstream.accounts``, each keyed by the user, organisation or token that it is about.

All of them are stated by Millstream alone: through ``POST /events`` anybody who may write could make himself an admin.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from schemas.accounts.names import AccountName, organization_id, user_id
from schemas.limits import Creator, FieldError
from schemas.privacy import Sealed, SecretRef
from schemas.registry import Audience, Instant, Payload, SafeId, event
from schemas.topics import Topic

TokenHash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""SHA-256 of a token's text, in hex. The text has 160 random bits, so nobody finds it from this."""
Note = Annotated[str, msgspec.Meta(max_length=500)]
_ON = (Topic.ACCOUNTS,)


class Scope(StrEnum):
    """What a token may be used for, as far as its bearer may do it at all. Each one holds those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def _of_user(data: Any) -> int:
    return int(data.user_id)


def _of_organization(data: Any) -> int:
    return int(data.organization_id)


def _of_token(data: Any) -> int:
    return int(data.token_id)


@event("millstream.user.created", topics=_ON, key=_of_user, audience=Audience.INTERNAL, guarded=True)
class UserCreated(Payload, frozen=True, kw_only=True):
    """Somebody has an account. Its id follows from the name, which is never used again."""

    user_id: SafeId
    username: AccountName
    display_name: Sealed | None = None
    email_ref: SecretRef | None = None
    site_admin: bool = False
    created_by: Creator

    def __post_init__(self) -> None:
        if self.user_id != user_id(self.username):
            raise FieldError("user_id", f"has to be {user_id(self.username)}, the id of this name")


@event("millstream.user.updated", topics=_ON, key=_of_user, audience=Audience.INTERNAL, guarded=True)
class UserUpdated(Payload, frozen=True, kw_only=True):
    """What is known of a person changed; absent (null) properties stay as they were."""

    user_id: SafeId
    display_name: Sealed | None = None
    email_ref: SecretRef | None = None
    email_removed: bool = False
    changed_by: Creator


@event("millstream.user.admin_changed", topics=_ON, key=_of_user, audience=Audience.INTERNAL, guarded=True)
class UserAdminChanged(Payload, frozen=True, kw_only=True):
    """From now on the user is a site admin, or is none any more."""

    user_id: SafeId
    site_admin: bool
    changed_by: Creator


@event("millstream.user.deleted", topics=_ON, key=_of_user, audience=Audience.INTERNAL, guarded=True)
class UserDeleted(Payload, frozen=True, kw_only=True):
    """The account is closed: its tokens and sessions are worth nothing, and nobody gets its name again."""

    user_id: SafeId
    deleted_by: Creator


@event(
    "millstream.organization.created",
    topics=_ON,
    key=_of_organization,
    audience=Audience.INTERNAL,
    guarded=True,
)
class OrganizationCreated(Payload, frozen=True, kw_only=True):
    """Some users belong together from now on. The id follows from the name."""

    organization_id: SafeId
    name: AccountName
    display_name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    created_by: Creator

    def __post_init__(self) -> None:
        if self.organization_id != organization_id(self.name):
            raise FieldError(
                "organization_id", f"has to be {organization_id(self.name)}, the id of this name"
            )


@event(
    "millstream.organization.deleted",
    topics=_ON,
    key=_of_organization,
    audience=Audience.INTERNAL,
    guarded=True,
)
class OrganizationDeleted(Payload, frozen=True, kw_only=True):
    """The organisation is no more; its members keep their accounts."""

    organization_id: SafeId
    deleted_by: Creator


@event(
    "millstream.organization.member_added",
    topics=_ON,
    key=_of_organization,
    audience=Audience.INTERNAL,
    guarded=True,
)
class OrganizationMemberAdded(Payload, frozen=True, kw_only=True):
    """A user belongs to the organisation."""

    organization_id: SafeId
    user_id: SafeId
    changed_by: Creator


@event(
    "millstream.organization.member_removed",
    topics=_ON,
    key=_of_organization,
    audience=Audience.INTERNAL,
    guarded=True,
)
class OrganizationMemberRemoved(Payload, frozen=True, kw_only=True):
    """A user belongs to the organisation no longer."""

    organization_id: SafeId
    user_id: SafeId
    changed_by: Creator


@event("millstream.token.created", topics=_ON, key=_of_token, audience=Audience.INTERNAL, guarded=True)
class TokenCreated(Payload, frozen=True, kw_only=True):
    """A program may act for a user. Of the token only its hash is here: who made it has seen it once."""

    token_id: SafeId
    user_id: SafeId
    token_sha256: TokenHash
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=3)]
    note: Note = ""
    expires_at: Instant | None = None
    created_by: Creator


@event("millstream.token.revoked", topics=_ON, key=_of_token, audience=Audience.INTERNAL, guarded=True)
class TokenRevoked(Payload, frozen=True, kw_only=True):
    """The token is worth nothing any more."""

    token_id: SafeId
    revoked_by: Creator
