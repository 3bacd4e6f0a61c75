"""Slots: who a worker is to Kafka, held by a Postgres advisory lock on a live session (DESIGN section 6).

A static group member whose id two processes hold is not fenced by Kafka: both would work. So the id is a slot:
a number that one session at a time can lock. When the session is lost, so is the slot, and the process ends.
The same session holds a lease per partition while its records are worked on, so that a repository has one
writer also in the moment in which a partition moves.

Needs a direct connection: a pooler that hands sessions around (transaction pooling) would break the locks.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Self

import psycopg

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from schemas.errors import MillstreamError

_MAX_SLOTS: Final = 1_000
_CHECK_S: Final = 1.0
_ANSWER_MS: Final = 5_000
LEASE_MS: Final = 10_000
"""A process that does not ask for so long (it was paused) loses its slot and its leases: the server ends the session."""
ALONE_S: Final = LEASE_MS / 1_000 - 2.0
"""So long after the last question that was answered the process ends by itself: where the network alone is cut, the server frees
slot and leases and nobody tells us.
"""


class NoSlotFree(MillstreamError):
    """All slots of an app are held by other processes."""


class SlotLost(MillstreamError):
    """The session that held the slot is gone: another process may hold it now."""


class Slot:
    """One held slot of an app. Threads may share it."""

    def __init__(self, connection: "psycopg.Connection[Any]", app_id: str, number: int) -> None:
        self.app_id = app_id
        self.number = number
        self._connection = connection
        self._closing = threading.Event()
        self._asked_s = time.monotonic()
        """When the last question that was answered was asked: the server's own clock begins later."""

    @classmethod
    def take(cls, settings: Settings, app_id: str, *, wanted: int | None = None) -> Self:
        """The lowest free slot of the app, or slot ``wanted``. Raises NoSlotFree, DatabaseUnreachable."""
        connection = connect(settings, Role.WORKER, autocommit=True, name=f"slot-{app_id}")
        connection.execute(f"SET statement_timeout = {_ANSWER_MS}")
        connection.execute(f"SET idle_session_timeout = {LEASE_MS}")
        numbers = range(_MAX_SLOTS) if wanted is None else range(wanted, wanted + 1)
        for number in numbers:
            if _try_lock(connection, _slot_class(app_id), number):
                return cls(connection, app_id, number)
        connection.close()
        raise NoSlotFree(
            f"slot {wanted} of {app_id} is held by another process"
            if wanted is not None
            else f"all {_MAX_SLOTS} slots of {app_id} are held",
            remedy="Stop that process, or start this one without naming a slot.",
        )

    @property
    def instance_id(self) -> str:
        """The static member id of this slot."""
        return f"{self.app_id}-{self.number}"

    def watch(self, on_lost: Callable[[BaseException], None]) -> None:
        """Ask the session every second, on a thread of its own; ``on_lost`` is called once when it does not answer.

        A second thread looks at the clock, since the first may wait for an answer that no network brings.
        """
        lost = threading.Lock()

        def once(error: BaseException) -> None:
            if not self._closing.is_set() and lost.acquire(blocking=False):
                on_lost(error)

        for name, work in (("slot", self._watch), ("slot-clock", self._watch_clock)):
            threading.Thread(target=work, args=(once,), name=f"{name}-{self.number}", daemon=True).start()

    def live(self) -> int:
        """How many slots of this app are held now, over the whole cluster."""
        row = self._execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid::bigint = %s",
            (_unsigned(_slot_class(self.app_id)),),
        )
        return int(row[0])

    def live_of(self, app_id: str) -> int:
        """The same for another app's slots."""
        return Slot(self._connection, app_id, -1).live()

    def try_lease(self, name: str, number: int) -> bool:
        """Take a lock (of a partition, of an office) for this process, unless another process has it."""
        return bool(
            self._execute("SELECT pg_try_advisory_lock(%s, %s)", (_class(f"lease.{name}"), number))[0]
        )

    def release_lease(self, name: str, number: int) -> None:
        """Give one taking of the lock back (each ``try_lease`` that succeeded counts)."""
        self._execute("SELECT pg_advisory_unlock(%s, %s)", (_class(f"lease.{name}"), number))

    def close(self) -> None:
        """Give slot and leases back."""
        self._closing.set()
        self._connection.close()

    def _watch(self, on_lost: Callable[[BaseException], None]) -> None:
        while not self._closing.wait(_CHECK_S):
            try:
                self._execute("SELECT 1", ())
            except MillstreamError as error:
                on_lost(error)
                return

    def _watch_clock(self, on_lost: Callable[[BaseException], None]) -> None:
        while (left_s := self._asked_s + ALONE_S - time.monotonic()) > 0:
            if self._closing.wait(left_s):
                return
        on_lost(self._lost(f"no answer for {ALONE_S:g} s"))

    def _lost(self, why: str) -> SlotLost:
        return SlotLost(
            f"the session of slot {self.instance_id} is lost: {why}",
            remedy="The process ends; start it again when the database answers.",
        )

    def _execute(self, query: str, parameters: tuple[object, ...]) -> tuple[Any, ...]:
        asked_s = time.monotonic()
        try:
            row = self._connection.execute(query.encode(), parameters).fetchone()
        except psycopg.Error as error:
            raise self._lost(" ".join(str(error).split())) from error
        self._asked_s = max(self._asked_s, asked_s)
        return row or (None,)


def _try_lock(connection: "psycopg.Connection[Any]", lock_class: int, number: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (lock_class, number)).fetchone()
    return row is not None and bool(row[0])


def _slot_class(app_id: str) -> int:
    return _class(f"slot.{app_id}")


def _class(name: str) -> int:
    """The signed 32-bit first half of a two-part lock key."""
    return int.from_bytes(hashlib.sha256(f"millstream.{name}".encode()).digest()[:4], "big", signed=True)


def _unsigned(number: int) -> int:
    return number & 0xFFFF_FFFF
