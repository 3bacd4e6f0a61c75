"""Who is behind a request."""

from enum import StrEnum
from typing import Final

import msgspec

from schemas.accounts.names import LOCAL_ADMIN, user_id
from schemas.events import Scope

ADMIN_NAME: Final = LOCAL_ADMIN
ALL_SCOPES: Final = frozenset(Scope)


class Means(StrEnum):
    """How somebody proved who they are."""

    TOKEN = "token"
    SESSION = "session"
    PROCESS = "process"
    PROXY = "proxy"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. ``name`` is part of the ids of what they create, so it never changes.

    ``site_admin``: may act as one here, so a token without that scope does not make one. ``scopes`` are those of the token.
    """

    name: str
    site_admin: bool
    means: Means
    scopes: frozenset[Scope] = ALL_SCOPES

    @property
    def id(self) -> int:
        """The account's."""
        return user_id(self.name)

    @property
    def may_write(self) -> bool:
        """Whether this caller may change anything at all."""
        return Scope.WRITE in self.scopes

    @property
    def viewer(self) -> int | None:
        """By whose eyes projections are read (``projections.reading``); None: whoever has the machine sees everything."""
        return None if self.name == ADMIN_NAME else self.id


def local_admin(means: Means) -> User:
    """Who has the machine: the one account of an installation without accounts."""
    return User(name=ADMIN_NAME, site_admin=True, means=means)


def scopes_of(text: str) -> frozenset[Scope]:
    """Scopes as they stand in a row, each with those that it holds."""
    order = list(Scope)
    highest = max((order.index(Scope(one)) for one in text.split(",") if one), default=-1)
    return frozenset(order[: highest + 1])
