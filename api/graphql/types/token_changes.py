"""``createAccessToken`` and ``deleteAccessToken``. The text of a token is told once, and stands nowhere."""

import secrets
from datetime import timedelta
from typing import Final

from ariadne import MutationType

from api.auth.directory import hash_of
from api.commands import accounts
from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, key_of, write
from projections.accounts import queries
from projections.accounts.queries import Token
from schemas.events import TokenCreated, TokenRevoked
from schemas.ids import stable_id

PREFIX: Final = "mst_"
"""By which scanners of repositories and logs know one of ours."""
_RANDOM_BYTES: Final = 20
mutation = MutationType()


@mutation.field("createAccessToken")
def resolve_create(
    _: object, info: Info, user: str, scopes: list[str], note: str, duration_seconds: int | None = None
) -> dict[str, object]:
    operation, number = operation_of(info), ids.user_id_of(user)
    _own(info, number)
    if queries.user_by_id(operation.reads.snapshot.connection, number) is None:
        raise ApiError(
            Code.NOT_FOUND,
            "There is no such account.",
            remedy="Tokens are made for accounts (createUser); the local admin has the file 'token' of the home.",
            field="user",
            id=user,
        )
    wanted = accounts.scopes(scopes)
    if not set(wanted) <= operation.user.scopes:
        raise ApiError(Code.NOT_PERMITTED, "A token makes none that may do more than itself.")
    text = _new_token(info)
    token_id = stable_id(f"token\x1f{hash_of(text)}")
    lasts_s = accounts.duration_s(duration_seconds)
    payload = TokenCreated(
        token_id=token_id,
        user_id=number,
        token_sha256=hash_of(text),
        scopes=wanted,
        note=accounts.note(note),
        expires_at=None if lasts_s is None else operation.now + timedelta(seconds=lasts_s),
        created_by=operation.user.name,
    )
    identity = ids.node_id(ids.ACCESS_TOKEN, token_id)
    event = event_of(info, payload)
    if earlier(info, event, identity=identity) is None:
        write(info, event, identity=identity)
    made = queries.token(operation.reads.snapshot.connection, token_id)
    if made is None or (made.expires_at is not None and made.expires_at <= operation.now):
        raise ApiError(
            Code.REFUSED,
            "This token was made before, with the same key, and was revoked or has expired since.",
            remedy="Make another one: use a new Idempotency-Key.",
            id=identity,
        )
    return {"id": identity, "token": text}


@mutation.field("deleteAccessToken")
def resolve_delete(
    _: object,
    info: Info,
    by_id: str | None = None,
    by_token: str | None = None,
) -> dict[str, object]:
    operation = operation_of(info)
    if (by_id is None) == (by_token is None):
        raise InputRefused("byID", "one of byID and byToken is needed")
    found = _token(info, by_id, by_token)
    token_id = (
        ids.token_id_of(by_id) if by_id is not None else stable_id(f"token\x1f{hash_of(by_token or '')}")
    )
    identity = ids.node_id(ids.ACCESS_TOKEN, token_id)
    event = event_of(info, TokenRevoked(token_id=token_id, revoked_by=operation.user.name))
    if earlier(info, event, identity=identity) is None:
        if found is None or not (operation.user.site_admin or operation.user.id == found.user_id):
            raise ApiError(Code.NOT_FOUND, "There is no such token of yours.", id=identity)
        write(info, event, identity=identity)
    return {}


def _token(info: Info, by_id: str | None, by_token: str | None) -> Token | None:
    connection = operation_of(info).reads.snapshot.connection
    if by_id is not None:
        return queries.token(connection, ids.token_id_of(by_id))
    return queries.token_by_hash(connection, hash_of(by_token or ""))


def _own(info: Info, user_id: int) -> None:
    user = operation_of(info).user
    if not user.site_admin and user.id != user_id:
        raise ApiError(Code.NOT_PERMITTED, "Only the user and site admins may.", remedy="Ask a site admin.")


def _new_token(info: Info) -> str:
    """With an Idempotency-Key the same text each time, for who has the vault's key: the answer to a repeat is whole."""
    operation, key = operation_of(info), key_of(info)
    if key is None:
        return PREFIX + secrets.token_hex(_RANDOM_BYTES)
    made = operation.services.vaults.key.digest("access token", operation.user.name, key)
    return PREFIX + made[:_RANDOM_BYTES].hex()


bindables = [mutation]
