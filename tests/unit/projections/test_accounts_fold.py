"""Accounts and permissions: events in, rows out, however the log is cut into batches."""

from collections.abc import Iterable, Sequence

from projections.access.fold import laid_down
from projections.accounts import fold as accounts
from projections.changes import Upsert, Value
from schemas.accounts.names import user_id
from schemas.events import (
    RepositoryPermissionsChanged,
    Scope,
    TokenCreated,
    TokenRevoked,
    UserAdminChanged,
    UserCreated,
    UserDeleted,
    UserUpdated,
)
from schemas.privacy import SecretRef
from schemas.registry import Payload
from tests.support.projecting import foldings

ANN = user_id("ann")
EMAIL = SecretRef(ref="email:" + "a" * 22, fingerprint="0" * 16)
Rows = dict[str, dict[tuple[Value, ...], dict[str, Value]]]


def applied(batches: Iterable[Sequence[Upsert]]) -> Rows:
    """The rows of upserts whose columns all keep the last value."""
    rows: Rows = {}
    for batch in batches:
        for upsert in batch:
            width = len(upsert.keys)
            for row in upsert.rows:
                there = rows.setdefault(upsert.table, {}).setdefault(row[:width], {})
                there.update(zip(upsert.columns, row[width:], strict=True))
    return rows


def rows_of(*payloads: Payload) -> Rows:
    return applied([accounts.fold(foldings(payloads))])


def test_an_account_is_known_by_what_was_said_last() -> None:
    row = rows_of(
        UserCreated(user_id=ANN, username="ann", email_ref=EMAIL, created_by="c"),
        UserUpdated(user_id=ANN, changed_by="c"),
        UserAdminChanged(user_id=ANN, site_admin=True, changed_by="c"),
    )["users"][ANN,]
    assert (row["username"], row["site_admin"], row["email_ref"]) == ("ann", True, EMAIL.ref)


def test_closing_an_account_forgets_what_is_personal() -> None:
    row = rows_of(
        UserCreated(user_id=ANN, username="ann", email_ref=EMAIL, created_by="c"),
        UserDeleted(user_id=ANN, deleted_by="c"),
    )["users"][ANN,]
    assert row["deleted_at"] is not None
    assert row["email_ref"] is row["email_fingerprint"] is row["display_name"] is None


def test_of_a_token_there_is_the_hash() -> None:
    row = rows_of(
        TokenCreated(
            token_id=1,
            user_id=ANN,
            token_sha256="0" * 64,
            scopes=[Scope.WRITE, Scope.READ, Scope.READ],
            created_by="c",
        ),
        TokenRevoked(token_id=1, revoked_by="c"),
    )["access_tokens"][1,]
    assert (row["token_sha256"], row["scopes"]) == ("0" * 64, "read,write")
    assert row["revoked_at"] is not None


def changed(change: str, users: Sequence[int], part: int = 1, of: int = 1) -> RepositoryPermissionsChanged:
    return RepositoryPermissionsChanged(
        repository_id=7, restricted=True, change=change, users=list(users), part=part, of=of
    )


def readers(*payloads: RepositoryPermissionsChanged) -> set[Value]:
    """Who sees repository 7, by the rule of the queries."""
    rows = applied([laid_down(foldings(payloads))])
    holds = rows["repo_permissions"][7,]
    found: set[Value] = set()
    for (_, part), row in rows["repo_readers"].items():
        users = row["users"]
        if (
            row["change"] == holds["change"]
            and isinstance(users, list)
            and int(str(part)) <= int(str(holds["parts"]))
        ):
            found |= set(users)
    return found


def test_a_change_replaces_the_one_before_whole_and_its_parts_add_up() -> None:
    assert readers(changed("a", [1, 2]), changed("b", [3])) == {3}
    assert readers(changed("a", [1], 1, 2), changed("a", [2], 2, 2)) == {1, 2}
    assert readers(changed("a", [1], 1, 2), changed("a", [2], 2, 2), changed("b", [3], 1, 2)) == {3}
    assert readers(changed("a", [1], 1, 2), changed("a", [2], 2, 2), changed("a", [1])) == {1}
    assert readers(changed("a", [1]), changed("a", [1])) == {1}, "said twice it is said once"
