"""Single events read back from the log, to see whether a repeat asks for the same thing."""

import threading
from typing import Final

import structlog

from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaError
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event, Position, Record
from schemas.errors import MustStop

_CLIENT: Final = "millstream-api-look"
_log = structlog.get_logger()


class LoggedEvents:
    """Threads may share it; they read one after the other. Connects at the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._reader: LogReader | None = None

    def at(self, position: Position) -> Event | None:
        """The event at a position; None when the log does not hold it any more, or cannot be read now."""
        try:
            record = self.record(position)
        except (KafkaError, MustStop) as error:
            _log.warning("event_not_read_back", position=str(position), error=str(error))
            return None
        found = None if record is None else decode(record)
        return found if isinstance(found, Event) else None

    def record(self, position: Position) -> Record | None:
        """The record at a position; None when the log does not hold it. Raises KafkaError, MustStop."""
        with self._lock:
            if self._reader is None:
                self._reader = LogReader(self._settings, client_id=_CLIENT)
            return self._reader.read_one(position.topic, position.partition, position.offset)

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
