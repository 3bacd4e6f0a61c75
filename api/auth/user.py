"""Who is behind a request."""

from enum import StrEnum

import msgspec

ADMIN_NAME = "admin"


class Means(StrEnum):
    """How somebody proved who they are."""

    TOKEN = "token"
    SESSION = "session"
    PROCESS = "process"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. ``name`` is part of the ids of what they create, so it never changes."""

    name: str
    site_admin: bool
    means: Means


def local_admin(means: Means) -> User:
    """The one account of an installation without accounts."""
    return User(name=ADMIN_NAME, site_admin=True, means=means)
