"""The lock of whoever works on a rebuild: held by a live session, so that it is free as soon as its holder is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg

from infra.postgres.connect import connect, try_advisory_lock
from infra.postgres.role import Role
from infra.settings import Settings
from projections.rebuild.errors import LockLost

Session: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


def lock_name(projection: str) -> str:
    """One rebuild of a projection at a time."""
    return f"rebuild:{projection}"


class Lock:
    """A lock that is held. ``check`` asks the session."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name

    def check(self) -> None:
        """Raises LockLost when the session is gone, and the lock with it."""
        try:
            self._session.execute("select 1")
        except psycopg.Error as error:
            raise LockLost(
                f"the session that held the lock {self._name} is gone: {error}",
                remedy="Nothing to do: whoever has the lock goes on from the checkpoints.",
            ) from error


@contextmanager
def held(settings: Settings, projection: str) -> Iterator[Lock | None]:
    """The lock for as long as the block lasts; None when somebody else has it."""
    name = lock_name(projection)
    with connect(settings, Role.PROJECTOR, autocommit=True, name="rebuild-lock") as session:
        yield Lock(session, name) if try_advisory_lock(session, name) else None
