"""Events of the accounts topic into users, organisations, members and tokens."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert, Value, upserts
from projections.folding import Folding
from schemas.events import (
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationMemberAdded,
    OrganizationMemberRemoved,
    TokenCreated,
    TokenRevoked,
    UserAdminChanged,
    UserCreated,
    UserDeleted,
    UserUpdated,
)
from schemas.privacy import SecretRef


def _last(*columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, Keep.LAST)


_USERS: Final = _last(
    "username",
    "display_name",
    "email_ref",
    "email_fingerprint",
    "site_admin",
    "created_at",
    "created_by",
    "position",
    "deleted_at",
)
_ORGS: Final = _last("name", "display_name", "created_at", "created_by", "deleted_at")
_MEMBERS: Final = _last("is_member", "since")
_TOKENS: Final = _last(
    "user_id", "token_sha256", "scopes", "note", "created_at", "created_by", "expires_at", "revoked_at"
)


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change."""
    users = SparseTable("users", ("id",), _USERS)
    orgs = SparseTable("orgs", ("id",), _ORGS)
    members = SparseTable("org_members", ("org_id", "user_id"), _MEMBERS)
    tokens = SparseTable("access_tokens", ("id",), _TOKENS)
    for folding in events:
        at = folding.event.time
        match folding.event.data:
            case UserCreated() as data:
                users.set(
                    (data.user_id,),
                    username=data.username,
                    display_name=data.display_name,
                    site_admin=data.site_admin,
                    created_at=at,
                    created_by=data.created_by,
                    position=str(folding.position),
                    **_address(data.email_ref),
                )
            case UserUpdated() as data:
                known: dict[str, Value] = {}
                if data.display_name is not None:
                    known["display_name"] = data.display_name
                if data.email_ref is not None or data.email_removed:
                    known |= _address(data.email_ref)
                if known:
                    users.set((data.user_id,), **known)
            case UserAdminChanged() as data:
                users.set((data.user_id,), site_admin=data.site_admin)
            case UserDeleted() as data:
                users.set((data.user_id,), deleted_at=at, display_name=None, **_address(None))
            case OrganizationCreated() as data:
                orgs.set(
                    (data.organization_id,),
                    name=data.name,
                    display_name=data.display_name,
                    created_at=at,
                    created_by=data.created_by,
                )
            case OrganizationDeleted() as data:
                orgs.set((data.organization_id,), deleted_at=at)
            case OrganizationMemberAdded() as data:
                members.set((data.organization_id, data.user_id), is_member=True, since=at)
            case OrganizationMemberRemoved() as data:
                members.set((data.organization_id, data.user_id), is_member=False, since=at)
            case TokenCreated() as data:
                tokens.set(
                    (data.token_id,),
                    user_id=data.user_id,
                    token_sha256=data.token_sha256,
                    scopes=",".join(sorted(set(data.scopes))),
                    note=data.note,
                    created_at=at,
                    created_by=data.created_by,
                    expires_at=data.expires_at,
                )
            case TokenRevoked() as data:
                tokens.set((data.token_id,), revoked_at=at)
            case _:
                pass
    return upserts((users, orgs, members, tokens))


def _address(email: SecretRef | None) -> dict[str, Value]:
    if email is None:
        return {"email_ref": None, "email_fingerprint": None}
    return {"email_ref": email.ref, "email_fingerprint": email.fingerprint}
