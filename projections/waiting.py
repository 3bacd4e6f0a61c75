"""Waiting for a projection: LISTEN on a connection of its own, and a look every 250 ms whatever it says."""

import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from projections.runner.notify import CHANNEL

POLL_INTERVAL_S: Final = 0.25
_RECONNECT_S: Final = 1.0
_log = structlog.get_logger()


class AppliedSignal:
    """Wakes all waiters of a process whenever any projection moved. Listens from the first waiter on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._moves = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def moves(self) -> int:
        """How many signals came; pass it to ``wait`` so that none is missed in between."""
        with self._changed:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="applied-signal", daemon=True)
                self._thread.start()
            return self._moves

    def wait(self, seen: int, timeout_s: float) -> None:
        """Return at the first signal after ``seen``, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._moves != seen, timeout=timeout_s)

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * _RECONNECT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except (SQLAlchemyError, psycopg.Error) as error:
                _log.info("listen_failed", error=str(error))
                self._closing.wait(_RECONNECT_S)

    def _listen(self) -> None:
        # Detached: LISTEN holds its connection for ever, and the pool is for those who read.
        pooled = self._engine.raw_connection()
        raw = pooled.driver_connection
        if not isinstance(raw, psycopg.Connection):
            raise TypeError("the engine has to use psycopg")
        pooled.detach()
        with raw:
            raw.rollback()
            raw.autocommit = True
            raw.execute(f"listen {CHANNEL}")
            while not self._closing.is_set():
                for _ in raw.notifies(timeout=_RECONNECT_S, stop_after=1):
                    with self._changed:
                        self._moves += 1
                        self._changed.notify_all()


def wait_while(pending: Callable[[], bool], signal: AppliedSignal, timeout_s: float) -> bool:
    """Look at ``pending`` at every signal and every 250 ms; False when it is still true at the end."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        seen = signal.moves
        if not pending():
            return True
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        signal.wait(seen, min(left_s, POLL_INTERVAL_S))
