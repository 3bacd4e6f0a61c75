"""Tells waiters that a projection moved: at most one NOTIFY per 100 ms and projection, with a trailing one.

Only a hint: it has a connection of its own, may fail, and waiters also poll.
"""

import threading
from collections.abc import Iterable
from typing import Final

import psycopg
import structlog

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.runner.checkpoint import Move
from schemas.errors import MillstreamError

CHANNEL: Final = "millstream_applied"
MAX_PAYLOAD_BYTES: Final = 7_000
"""Postgres refuses payloads of 8,000 bytes."""
INTERVAL_S: Final = 0.1

_log = structlog.get_logger()


def payload(projection: str, moves: Iterable[tuple[str, int, int]]) -> str:
    """The projection's name and as many ``topic/partition@next offset`` as there is room for."""
    text = projection
    for topic, partition, next_offset in moves:
        longer = f"{text} {topic}/{partition}@{next_offset}"
        if len(longer) > MAX_PAYLOAD_BYTES:
            break
        text = longer
    return text


class Notifier:
    """One thread and one connection for all projections of a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[tuple[str, int], int]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def offer(self, projection: str, moves: Iterable[Move]) -> None:
        """Tell about these steps soon; never waits, never fails."""
        with self._lock:
            steps = self._waiting.setdefault(projection, {})
            for move in moves:
                steps[move.topic, move.partition] = move.next_offset
        self._wake.set()

    def close(self) -> None:
        """Tell what is left, and stop."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._send()
            self._closing.wait(INTERVAL_S)
        self._send()
        if self._connection is not None:
            self._connection.close()

    def _send(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for projection, steps in waiting.items():
            moves = ((topic, number, next_offset) for (topic, number), next_offset in steps.items())
            try:
                self._connected().execute("select pg_notify(%s, %s)", (CHANNEL, payload(projection, moves)))
            except (psycopg.Error, MillstreamError) as error:
                _log.warning("notify_failed", projection=projection, error=str(error))
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def _connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._settings, Role.PROJECTOR, autocommit=True, name="notifier")
        return self._connection
