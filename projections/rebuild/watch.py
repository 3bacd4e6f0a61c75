"""What goes on beside the work: the lock, whether somebody asked for a pause or an end, and how far it is."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from projections.rebuild import store
from projections.rebuild.errors import RebuildFailed, Stopped
from projections.rebuild.listing import size_bytes
from projections.rebuild.lock import Lock
from projections.rebuild.machine import Step
from projections.rebuild.store import Rebuild
from projections.rebuild.vectors import Vector, progress

Report = Callable[[Rebuild], None]
INTERVAL_S: Final = 0.5
_SIZE_INTERVAL_S: Final = 2.0
_SMOOTHING_S: Final = 5.0
"""A rate weighs what happened in about so long."""


class Rate:
    """Events per second, smoothed. Times are passed in (s, monotonic)."""

    def __init__(self) -> None:
        self._done: int | None = None
        self._at_s = 0.0
        self.per_s = 0.0

    def seen(self, done: int, now_s: float) -> float:
        """So many are done by now."""
        if self._done is None or done < self._done:
            self._done, self._at_s = done, now_s
            return self.per_s
        passed_s = now_s - self._at_s
        if passed_s <= 0:
            return self.per_s
        newest = (done - self._done) / passed_s
        weight = min(1.0, passed_s / _SMOOTHING_S) if self.per_s else 1.0
        self.per_s += weight * (newest - self.per_s)
        self._done, self._at_s = done, now_s
        return self.per_s


class Watch:
    """``tick`` while working; ``rebuild`` is the row as last written."""

    def __init__(
        self, engine: Engine, lock: Lock, rebuild: Rebuild, stop: threading.Event, report: Report
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._stop = stop
        self._report = report
        self._rate = Rate()
        self._begins: Vector = {}
        self._ends: Vector = {}
        self._next_s = 0.0
        self._size_s = 0.0
        self._size = rebuild.bytes
        self.rebuild = rebuild

    def aim(self, begins: Vector, ends: Vector) -> None:
        """What is to be read."""
        self._begins, self._ends = begins, ends

    def tick(self, at: Vector, *, now: bool = False) -> None:
        """Twice a second: everything beside the work. Raises Stopped, LockLost, RebuildFailed."""
        if self._stop.is_set():
            raise Stopped("the process ends")
        now_s = time.monotonic()
        if now_s < self._next_s and not now:
            return
        self._next_s = now_s + INTERVAL_S
        self._lock.check()
        far = progress(self._begins, self._ends, at)
        rate = self._rate.seen(far.done, now_s)
        with self._engine.begin() as connection:
            if now_s >= self._size_s or now:
                self._size_s = now_s + _SIZE_INTERVAL_S
                self._size = size_bytes(connection, self.rebuild.schema_name)
            require_running(connection, self.rebuild.schema_name)
            self.rebuild = store.worked_on(
                connection,
                self.rebuild.id,
                events=far.done,
                of_all=far.of_all,
                events_per_s=rate,
                eta_s=far.left / rate if rate else None,
                bytes=self._size,
            )
        self._report(self.rebuild)

    def step(self, taken: Step, **values: Any) -> Rebuild:
        """Lead the rebuild on. Raises RebuildRefused when somebody else did meanwhile; LockLost."""
        self._lock.check()
        with self._engine.begin() as connection:
            self.rebuild = store.step(connection, self.rebuild.id, taken, **values)
        self._report(self.rebuild)
        return self.rebuild

    def write(self, **values: Any) -> Rebuild:
        """Columns beside the state. Raises Stopped."""
        with self._engine.begin() as connection:
            self.rebuild = store.worked_on(connection, self.rebuild.id, **values)
        return self.rebuild


def require_running(connection: Connection, schema: str) -> None:
    """Raises RebuildFailed when a partition of the new generation cannot be read on."""
    row = connection.execute(
        text(
            f'select topic, partition, state, state_reason from "{schema}".checkpoints '
            "where state <> 'RUNNING' limit 1"
        )
    ).first()
    if row is not None:
        raise RebuildFailed(
            f"{row.topic}/{row.partition}: {row.state} {row.state_reason}",
            remedy="Rebuild with a build that can read it.",
        )
