"""An event on a timer, and how long it takes from the call of publish until a reader sees its row: the whole way, measured."""

import os
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra import metrics
from infra.kafka.errors import PublishFailed
from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.event_index import queries
from projections.generations import NotProjected
from projections.lag.model import CanaryReport
from projections.reading import Reader
from projections.waiting import POLL_INTERVAL_S
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import CanarySent

SOURCE: Final = "//millstream/canary"
PROJECTION: Final = "event_index"
MISSING_AFTER_S: Final = 30.0
"""A canary that nobody has seen by then is missing; the next one is sent all the same."""
_PUBLISH_TIMEOUT_S: Final = 10.0
_SLICE_S: Final = 0.5
_log = structlog.get_logger()


class Canary:
    """Call ``run`` in a thread of its own; ``report`` from any."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        stop: threading.Event,
        missing_after_s: float = MISSING_AFTER_S,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._stop = stop
        self._missing_after_s = missing_after_s
        self._sent_by = f"{socket.gethostname()}-{os.getpid()}"
        self._lock = threading.Lock()
        self._report = CanaryReport(reason="none was sent yet")
        self._waiting_since_s: float | None = None

    def report(self) -> CanaryReport:
        """How the newest one fared."""
        with self._lock:
            found, since_s = self._report, self._waiting_since_s
        if since_s is None:
            return found
        waiting_s = time.monotonic() - since_s
        reason = found.reason or (
            f"sent {waiting_s:.0f} s ago, and not seen yet" if waiting_s > self._missing_after_s else ""
        )
        return CanaryReport(
            sent_at=found.sent_at, latency_s=found.latency_s, waiting_s=waiting_s, reason=reason
        )

    def run(self) -> None:
        """Send and look until ``stop`` is set."""
        short = {"publish_timeout_s": min(self._settings.publish_timeout_s, _PUBLISH_TIMEOUT_S)}
        reader = Reader(self._engine)
        try:
            with Publisher(
                self._settings.model_copy(update=short), client_id="millstream-canary"
            ) as publisher:
                sequence = 0
                while not self._stop.is_set():
                    began_s = time.monotonic()
                    try:
                        self._one(publisher, reader, sequence)
                    except Exception as error:  # noqa: BLE001 - said, and tried again: nothing ends silently
                        _log.exception("canary_broken")
                        self._say(CanaryReport(reason=f"it could not be sent or looked for: {error!r}"), None)
                    sequence += 1
                    left_s = self._settings.canary_interval_s - (time.monotonic() - began_s)
                    self._stop.wait(max(_SLICE_S, left_s))
        finally:
            reader.close()

    def _one(self, publisher: Publisher, reader: Reader, sequence: int) -> None:
        event = new_event(CanarySent(sequence=sequence, sent_by=self._sent_by), source=SOURCE, time=_now())
        began_s = time.monotonic()
        try:
            publisher.publish([event])
        except PublishFailed as error:
            self._say(CanaryReport(sent_at=_now(), reason=f"it was not published: {error}"), None)
            metrics.CANARIES_MISSING.inc()
            return
        before = self._report
        self._say(CanaryReport(sent_at=_now(), latency_s=before.latency_s), began_s)
        if self._seen(reader, event, began_s):
            latency_s = time.monotonic() - began_s
            metrics.CANARY_SECONDS.observe(latency_s)
            self._say(CanaryReport(sent_at=_now(-latency_s), latency_s=latency_s), None)
        elif not self._stop.is_set():
            metrics.CANARIES_MISSING.inc()
            self._say(CanaryReport(sent_at=self._report.sent_at, reason=_why(self._missing_after_s)), began_s)

    def _seen(self, reader: Reader, event: Event, began_s: float) -> bool:
        """As a reader sees it: its row, in the live generation, in a snapshot."""
        deadline_s = began_s + self._missing_after_s
        while not self._stop.is_set():
            moves = reader.moves
            if _there(reader, event):
                return True
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            reader.wait_moved(moves, min(left_s, POLL_INTERVAL_S))
        return False

    def _say(self, report: CanaryReport, waiting_since_s: float | None) -> None:
        with self._lock:
            self._report, self._waiting_since_s = report, waiting_since_s


def _there(reader: Reader, event: Event) -> bool:
    try:
        with reader.snapshot((PROJECTION,)) as snapshot:
            return bool(queries.positions_of(snapshot.connection, event.source, event.id))
    except (NotProjected, SQLAlchemyError) as error:
        _log.info("canary_not_looked_for", error=str(error))
        return False


def _why(after_s: float) -> str:
    return (
        f"the last one was published and not seen within {after_s:.0f} s: {PROJECTION} does not keep up, or nobody "
        "runs it; its own line says which"
    )


def _now(shift_s: float = 0.0) -> datetime:
    return datetime.fromtimestamp(time.time() + shift_s, UTC)
