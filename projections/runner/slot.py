"""Slots: a worker's static group membership, held by an advisory lock on a live session (DESIGN section 6).

Two holders of one instance id would both work, so the lock comes first, and whoever loses its session stops.
"""

import time
from types import TracebackType
from typing import Final, Self

import psycopg

from infra.postgres.connect import connect, try_advisory_lock
from infra.postgres.role import Role
from infra.settings import Settings
from projections.runner.errors import SlotLost

MAX_SLOTS: Final = 1_000
_CHECK_INTERVAL_S: Final = 2.0


class Slot:
    """The first free slot of a consumer group. Enter to take it, exit to give it back."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._number = -1
        self._checked_at_s = 0.0
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def __enter__(self) -> Self:
        connection = connect(self._settings, Role.PROJECTOR, autocommit=True, name="projector-slot")
        for number in range(MAX_SLOTS):
            if try_advisory_lock(connection, f"slot:{self._group}:{number}"):
                self._connection, self._number = connection, number
                return self
        connection.close()
        raise SlotLost(f"all {MAX_SLOTS} slots of {self._group} are taken", remedy="Stop some projectors.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def instance_id(self) -> str:
        """The static member id."""
        return f"{self._group}.slot-{self._number}"

    def check(self) -> None:
        """Cheap; asks the session every two seconds. Raises SlotLost."""
        now_s = time.monotonic()
        if now_s - self._checked_at_s < _CHECK_INTERVAL_S or self._connection is None:
            return
        self._checked_at_s = now_s
        try:
            self._connection.execute("select 1")
        except psycopg.Error as error:
            raise SlotLost(f"slot {self._number} of {self._group} was lost: {error}") from error
