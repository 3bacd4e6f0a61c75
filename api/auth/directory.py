"""Accounts as the gate needs them: by a token's hash or a name, remembered for a second.

So a revoked token, a closed account or an admin who is none any more has lost what it had within a second of the projection.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Final

from api.auth.user import ADMIN_NAME, ALL_SCOPES, Means, User, local_admin, scopes_of
from projections.accounts.queries import Account, bearer_of, user_by_name
from projections.reading import Reader
from schemas.accounts.names import is_name
from schemas.events import Scope

PROJECTION: Final = "accounts"
REMEMBERED_S: Final = 1.0
_MOST: Final = 10_000
_MISSING: Final = object()


class Directory:
    """Threads may share it. What it answers is blocking, except ``remembered_*``."""

    def __init__(self, reader: Reader, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def of_token(self, text: str) -> User | None:
        """For whom a token speaks. Raises SQLAlchemyError, NotProjected."""
        digest = hash_of(text)
        found = self._remembered(digest)
        if found is _MISSING:
            with self._reader.snapshot((PROJECTION,)) as snapshot:
                found = bearer = bearer_of(snapshot.connection, digest)
                if bearer is not None:
                    scopes = scopes_of(bearer.scopes)
                    user = _user(bearer.account, Means.TOKEN, scopes)
                    found = (user, bearer.expires_at)
            self._remember(digest, found)
        return _unexpired(found)

    def of_name(self, name: str, means: Means) -> User | None:
        """The open account of this name. Raises SQLAlchemyError, NotProjected."""
        if name == ADMIN_NAME:
            return local_admin(means)
        if not is_name(name):
            return None
        key = (name, means)
        found = self._remembered(key)
        if found is _MISSING:
            with self._reader.snapshot((PROJECTION,)) as snapshot:
                account = user_by_name(snapshot.connection, name)
            found = None if account is None else _user(account, means, ALL_SCOPES)
            self._remember(key, found)
        return found if isinstance(found, User) else None

    def token_at_once(self, text: str) -> tuple[bool, User | None]:
        """Whether it is known without asking the database, and what ``of_token`` says then: in one look, for an event loop."""
        found = self._remembered(hash_of(text))
        return found is not _MISSING, _unexpired(found)

    def name_at_once(self, name: str, means: Means) -> tuple[bool, User | None]:
        """The same of ``of_name``."""
        if name == ADMIN_NAME:
            return True, local_admin(means)
        found = self._remembered((name, means))
        return found is not _MISSING, found if isinstance(found, User) else None

    def _remembered(self, key: Hashable) -> object:
        with self._lock:
            until_s, value = self._kept.get(key, (0.0, _MISSING))
            return value if self._clock() < until_s else _MISSING

    def _remember(self, key: Hashable, value: object) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock() + REMEMBERED_S, value)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)


def hash_of(token: str) -> str:
    """What stands on the log of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _unexpired(found: object) -> User | None:
    match found:
        case (User() as user, None):
            return user
        case (User() as user, datetime() as expires_at):
            return user if datetime.now(UTC) < expires_at else None
    return None


def _user(account: Account, means: Means, scopes: frozenset[Scope]) -> User:
    return User(
        name=account.username,
        site_admin=account.site_admin and Scope.ADMIN in scopes,
        means=means,
        scopes=scopes,
    )
