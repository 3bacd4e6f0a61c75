"""What monitors need of the rooms of accounts: secrets, addresses, and who may see what.

The agents know these doors only, so that a monitor runs as its owner whoever keeps the accounts. ``open_doors`` is the one place
where they are hung. All of them block.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import EMAIL_KIND, SecretMissing, SecretRef, Vaults
from projections.access import queries as access
from projections.accounts import queries as accounts
from projections.reading import Reader
from schemas.accounts.names import LOCAL_ADMIN, user_id
from schemas.topics import Topic

__all__ = ["ACCESS_TOPICS", "Doors", "MaySee", "SecretMissing", "SecretRef", "Secrets", "open_doors"]


ACCESS_TOPICS: Final = (Topic.ACCOUNTS, Topic.REPOSITORIES)
"""What says who may see what: who asks ``may_see`` because of an event first waits until ``access`` has passed their ends."""


class Secrets(Protocol):
    """The vault."""

    def put(self, secret: str, *, kind: str, owner: str, once: str | None = None) -> SecretRef:
        """Keep it for monitors of ``owner``; with ``once`` the same secret gets the same name again."""
        ...

    def get(self, ref: str, *, kind: str, owner: str) -> str:
        """The secret, if it is of this kind and owner: events name whatever they like. Raises SecretMissing."""
        ...

    def forget_unnamed(
        self, kinds: Collection[str], named: Collection[str], now: datetime, grace: timedelta
    ) -> int:
        """Remove those of these kinds that were unnamed for so long; how many."""
        ...


class AddressOf(Protocol):
    """A user's mail address, None where there is none."""

    def __call__(self, user: str) -> str | None: ...


class MaySee(Protocol):
    """Whether the user of this name may read the repository now."""

    def __call__(self, user: str, repository_id: int) -> bool: ...


class Doors(msgspec.Struct, frozen=True):
    """All of them."""

    secrets: Secrets
    address_of: AddressOf
    may_see: MaySee


class _VaultSecrets:
    """Each call has a connection of its own: threads may share it."""

    def __init__(self, vaults: Vaults) -> None:
        self._vaults = vaults

    def put(self, secret: str, *, kind: str, owner: str, once: str | None = None) -> SecretRef:
        with self._vaults.open() as vault:
            return vault.put(secret, kind=kind, owner=owner, once=once)

    def get(self, ref: str, *, kind: str, owner: str) -> str:
        with self._vaults.open() as vault:
            return vault.get(ref, kind=kind, owner=owner)

    def forget_unnamed(
        self, kinds: Collection[str], named: Collection[str], now: datetime, grace: timedelta
    ) -> int:
        with self._vaults.open() as vault:
            return vault.forget_unnamed(kinds, named, now, grace)


def open_doors(settings: Settings, reader: Reader, role: Role) -> Doors:
    """The doors of this installation; ``reader`` sees every account, and the vault is opened as ``role``."""
    vaults = Vaults(settings, role)

    def address_of(user: str) -> str | None:
        with reader.snapshot(("accounts",)) as snapshot:
            ref = accounts.email_ref_of(snapshot.connection, user_id(user))
        if ref is None:
            return (settings.admin_email or None) if user == LOCAL_ADMIN else None
        with vaults.open() as vault:
            try:
                return vault.get(ref, kind=EMAIL_KIND)
            except SecretMissing:
                return None  # a vault that does not open is another matter: it may be mended

    def may_see(user: str, repository_id: int) -> bool:
        asked = user_id(user)
        with reader.snapshot(("access",)) as snapshot:
            return asked in access.may_see(snapshot.connection, [asked], repository_id)

    return Doors(secrets=_VaultSecrets(vaults), address_of=address_of, may_see=may_see)
