"""Records, positions, and the CloudEvents envelope (DESIGN section 3)."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from schemas.registry import EventType, Payload

Headers = tuple[tuple[str, bytes], ...]


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a record lies on the log. ``offset`` is the record's own offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The inverse of ``str``. Raises ValueError."""
        place, _, offset = text.rpartition("@")
        topic, _, partition = place.rpartition("/")
        if not topic:
            raise ValueError(f"{text!r} is no position: expected topic/partition@offset")
        return cls(topic, int(partition), int(offset))


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as read from Kafka; ``timestamp_ms`` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decoded event: envelope attributes and its typed payload ``data``."""

    id: str
    source: str
    type: EventType
    time: datetime
    key: str
    subject: str
    data: Payload
    correlation_id: str | None = None
    causation_id: str | None = None
    expected_version: int | None = None
    traceparent: str | None = None
    extensions: Mapping[str, str] = {}
