"""Mutations of accounts: open, describe, promote, close. An address is put into the vault before the event that names it."""

from ariadne import MutationType

from api.commands import accounts
from api.commands.errors import ApiError, Code, InputRefused
from api.graphql import ids
from api.graphql.operation import Operation
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import Written, earlier, event_of, key_of, write
from infra.vault import EMAIL_KIND, Vault, user_subject
from projections.accounts import queries
from projections.accounts.queries import Account
from projections.judged import DUPLICATE
from schemas.accounts.names import LOCAL_ADMIN_ID, user_id
from schemas.events import UserAdminChanged, UserCreated, UserDeleted, UserUpdated
from schemas.privacy import SecretRef
from schemas.registry import Payload

mutation = MutationType()


@mutation.field("createUser")
def resolve_create(
    _: object, info: Info, username: str, email: str | None = None, display_name: str | None = None
) -> dict[str, object]:
    require_site_admin(info)
    operation = operation_of(info)
    name = accounts.account_name(username, "username")
    number = user_id(name)
    address = None if not email else accounts.email_address(email)
    shown = accounts.display_name(display_name)
    with operation.services.vaults.open() as vault:
        payload = UserCreated(
            user_id=number,
            username=name,
            display_name=None if shown is None else vault.seal(user_subject(number), shown),
            email_ref=None if address is None else _kept(info, vault, address),
            created_by=operation.user.name,
        )
    identity = ids.user_node_id(number)
    event = event_of(info, payload)
    try:
        written = earlier(info, event, identity=identity) or write(info, event, identity=identity)
    except ApiError as error:
        if error.code is Code.REJECTED and payload.email_ref is not None:
            with operation.services.vaults.open() as vault:
                vault.forget(payload.email_ref.ref)  # nothing names it
        raise
    return {"user": _found(operation, number), "position": str(written.position)}


@mutation.field("updateUser")
def resolve_update(_: object, info: Info, user: str, display_name: str | None = None) -> Account:
    operation, account = operation_of(info), _administered(info, user)
    shown = accounts.display_name(display_name)
    if shown is None:
        raise InputRefused("displayName", "nothing is to be changed", remedy="Give a display name.")
    with operation.services.vaults.open() as vault:
        sealed = vault.seal(user_subject(account.id), shown)
    _say(info, UserUpdated(user_id=account.id, display_name=sealed, changed_by=operation.user.name), user)
    return _found(operation, account.id)


@mutation.field("addUserEmail")
def resolve_add_email(_: object, info: Info, user: str, email: str) -> dict[str, object]:
    operation, account = operation_of(info), _administered(info, user)
    address = accounts.email_address(email)
    with operation.services.vaults.open() as vault:
        kept = _kept(info, vault, address)
    said = _say(info, UserUpdated(user_id=account.id, email_ref=kept, changed_by=operation.user.name), user)
    # Only what this call has replaced: a repeat replaces nothing, and what it put again may be named no longer.
    holds = _found(operation, account.id).email_ref
    gone = account.email_ref if said else kept.ref
    if gone is not None and gone != holds:
        with operation.services.vaults.open() as vault:
            vault.forget(gone)
    return {}


@mutation.field("removeUserEmail")
def resolve_remove_email(_: object, info: Info, user: str, email: str) -> dict[str, object]:
    operation, account = operation_of(info), _administered(info, user)
    event = event_of(
        info, UserUpdated(user_id=account.id, email_removed=True, changed_by=operation.user.name)
    )
    if earlier(info, event, identity=user) is not None:
        return {}  # what stands there now was added since; the address that was meant is in no event
    ref = account.email_ref
    with operation.services.vaults.open() as vault:
        if ref is None or vault.get(ref, kind=EMAIL_KIND) != email.strip():
            raise InputRefused("email", "the user does not have this address", remedy="See user { emails }.")
    if _is_news(write(info, event, identity=user)) and _found(operation, account.id).email_ref != ref:
        with operation.services.vaults.open() as vault:
            vault.forget(ref)
    return {}


@mutation.field("deleteUser")
def resolve_delete(_: object, info: Info, user: str) -> dict[str, object]:
    require_site_admin(info)
    operation, number = operation_of(info), ids.user_id_of(user)
    account = queries.user_by_id(operation.reads.snapshot.connection, number)
    event = event_of(info, UserDeleted(user_id=number, deleted_by=operation.user.name))
    if earlier(info, event, identity=user) is None:
        if account is None:
            raise _no_user(user)
        _not_oneself(operation, number, "close your own account")
        write(info, event, identity=user)
    # After the event, so that a crash between leaves what can be said again: a repeat comes by here too.
    with operation.services.vaults.open() as vault:
        vault.erase(user_subject(number))
        if account is not None and account.email_ref is not None:
            vault.forget(account.email_ref)
    return {}


@mutation.field("setUserIsSiteAdmin")
def resolve_set_admin(_: object, info: Info, user_id: str, site_admin: bool) -> dict[str, object]:
    require_site_admin(info)
    operation, number = operation_of(info), ids.user_id_of(user_id, "userID")
    if queries.user_by_id(operation.reads.snapshot.connection, number) is None:
        raise _no_user(user_id)
    if not site_admin:
        _not_oneself(operation, number, "take this from yourself")
    _say(
        info,
        UserAdminChanged(user_id=number, site_admin=site_admin, changed_by=operation.user.name),
        user_id,
    )
    return {}


def _say(info: Info, payload: Payload, identity: str) -> bool:
    """Say it; whether that was news: a repeat with the same key changes nothing."""
    event = event_of(info, payload)
    return earlier(info, event, identity=identity) is None and _is_news(write(info, event, identity=identity))


def _is_news(written: Written) -> bool:
    return written.verdict.state != DUPLICATE


def _kept(info: Info, vault: Vault, address: str) -> SecretRef:
    """A repeat with the same key gets the same name, or it would be another event."""
    key = key_of(info)
    once = None if key is None else f"{operation_of(info).user.name}\x1f{key}"
    return vault.put(address, kind=EMAIL_KIND, once=once)


def _administered(info: Info, node_id: str) -> Account:
    """The account, for its user and site admins. Raises NOT_PERMITTED before it is said whether there is one."""
    operation, number = operation_of(info), ids.user_id_of(node_id)
    if not operation.user.site_admin and operation.user.id != number:
        raise ApiError(Code.NOT_PERMITTED, "Only the user and site admins may.", remedy="Ask a site admin.")
    account = queries.user_by_id(operation.reads.snapshot.connection, number)
    if account is None:
        raise _no_user(node_id)
    return account


def _found(operation: Operation, number: int) -> Account:
    found = queries.user_by_id(operation.reads.snapshot.connection, number)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "The account was closed at the same moment.")
    return found


def _not_oneself(operation: Operation, number: int, what: str) -> None:
    if operation.user.id == number and number != LOCAL_ADMIN_ID:
        raise ApiError(
            Code.REFUSED, f"You cannot {what}: the last admin would be gone.", remedy="Ask another admin."
        )


def _no_user(node_id: str) -> ApiError:
    return ApiError(Code.NOT_FOUND, "There is no such user.", field="user", id=node_id)


bindables = [mutation]
