"""What may be said of users, organisations, tokens and permissions, for histories of everything that can happen."""

import random
from collections.abc import Iterator

from schemas.accounts.names import organization_id, user_id
from schemas.events import (
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationMemberAdded,
    OrganizationMemberRemoved,
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


def permissions(number: int, random_: random.Random) -> RepositoryPermissionsChanged:
    """A whole change, or a part of one that may never be whole."""
    of = random_.choice((1, 1, 2))
    return RepositoryPermissionsChanged(
        repository_id=number,
        restricted=random_.random() < 0.7,
        change=f"c-{random_.randrange(4)}",
        users=random_.sample(range(1, 6), random_.randrange(4)),
        part=random_.randrange(1, of + 1),
        of=of,
    )


def accounts(random_: random.Random) -> Iterator[Payload]:
    """Any of what may be said of users, organisations and tokens, whether it is legal now or not."""
    name = random_.choice(("ann", "bob", "cyd"))
    user, org, token = user_id(name), organization_id("team"), random_.randrange(1, 4)
    admin = random_.random() < 0.5
    ref = SecretRef(ref=f"email:{'a' * 21}{random_.randrange(9)}", fingerprint=f"{random_.randrange(9):016x}")
    choices: list[Payload] = [
        UserCreated(user_id=user, username=name, email_ref=ref, created_by="c"),
        UserCreated(user_id=user, username=name, site_admin=admin, created_by="c"),
        UserUpdated(user_id=user, email_ref=ref, changed_by="c"),
        UserUpdated(user_id=user, email_removed=True, changed_by="c"),
        UserAdminChanged(user_id=user, site_admin=admin, changed_by="c"),
        OrganizationCreated(organization_id=org, name="team", created_by="c"),
        OrganizationMemberAdded(organization_id=org, user_id=user, changed_by="c"),
        OrganizationMemberRemoved(organization_id=org, user_id=user, changed_by="c"),
        TokenCreated(
            token_id=token,
            user_id=user,
            token_sha256=f"{token:064x}",
            scopes=[Scope.READ],
            created_by="c",
        ),
    ]
    ends: list[Payload] = [
        UserDeleted(user_id=user, deleted_by="c"),
        OrganizationDeleted(organization_id=org, deleted_by="c"),
        TokenRevoked(token_id=token, revoked_by="c"),
    ]
    yield from (choices[5], choices[6])
    for _ in range(6):
        yield random_.choice(ends if random_.random() < 0.1 else choices)
