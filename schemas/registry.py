"""The one registry of event types, keyed by (type name, version) (DESIGN section 3)."""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, TypeVar

import msgspec

from schemas.ids import MAX_ID
from schemas.privacy import refusal
from schemas.topics import Topic

SafeId = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
"""A 53-bit identifier."""
PartNumber = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""One of several parts of something, counted from 1; or how many there are."""
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A record's place in its partition."""
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time with its zone (RFC 3339): a naive one would mean another instant on every machine."""


class Payload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False, gc=False):
    """Base of every event payload. Readers are tolerant: unknown fields are ignored.

    What was read from JSON has no cycles, so the garbage collector need not look at it.
    """


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of the structures inside payloads."""


class Audience(StrEnum):
    """Who may state an event: anybody with a token, or Millstream's own agents only."""

    EXTERNAL = "external"
    INTERNAL = "internal"


P = TypeVar("P", bound=Payload)


Body = dict[str, Any]
"""A payload as plain values of JSON."""
Upcaster = Callable[[Body], Body]
"""Pure: a valid payload of one version as the next one says it."""


class EventType(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One version of one event type.

    ``key`` and ``subject`` compute the record key (fixes order) and the aggregate id from a payload. ``upcaster``
    leads to the next version; every version but the newest has one (``schemas.upcasting``).
    """

    name: str
    version: int
    payload: type[Payload]
    topics: tuple[Topic, ...]
    key: Callable[[Any], str]
    subject: Callable[[Any], str]
    audience: Audience
    guarded: bool
    summary: str
    max_bytes: int = sys.maxsize
    """Largest payload as it stands on the log, where it is less than any event may have."""
    upcaster: Upcaster | None = None
    administers: bool = False
    """Whether, of an external type, only a site admin may state it."""

    @cached_property
    def dataschema(self) -> str:
        return f"millstream://schemas/{self.name}/v{self.version}"


class Registry:
    """All event types of this build; newest version first in ``latest``."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, int], EventType] = {}
        self._by_payload: dict[type[Payload], EventType] = {}
        self._latest: dict[str, EventType] = {}
        self._latest_by_bytes: dict[tuple[bytes, bytes], EventType] = {}

    def add(self, event_type: EventType) -> EventType:
        """Register a type. Raises ValueError when name and version are taken, or when it would bring onto the log what must
        not be there (``schemas.privacy``)."""
        identity = (event_type.name, event_type.version)
        if identity in self._types:
            raise ValueError(f"{event_type.name} v{event_type.version} is registered twice")
        unfit = refusal(event_type.payload)
        if unfit is not None:
            raise ValueError(f"{event_type.name} v{event_type.version}: {unfit}")
        self._types[identity] = event_type
        self._by_payload[event_type.payload] = event_type
        newest = self._latest.get(event_type.name)
        if newest is None or newest.version < event_type.version:
            self._latest[event_type.name] = event_type
            self._latest_by_bytes[_in_bytes(event_type)] = event_type
            if newest is not None:
                del self._latest_by_bytes[_in_bytes(newest)]
        return event_type

    def get(self, name: str, version: int) -> EventType | None:
        return self._types.get((name, version))

    def latest(self, name: str) -> EventType | None:
        return self._latest.get(name)

    def latest_by_bytes(self, name: bytes, dataschema: bytes) -> EventType | None:
        """The newest version of a type by the headers that say it; None for any other version."""
        return self._latest_by_bytes.get((name, dataschema))

    def of(self, payload: Payload) -> EventType:
        """The type whose payload this is. Raises KeyError for a foreign struct."""
        return self._by_payload[type(payload)]

    def __iter__(self) -> Iterator[EventType]:
        return iter(self._types.values())


def _in_bytes(event_type: EventType) -> tuple[bytes, bytes]:
    return event_type.name.encode(), event_type.dataschema.encode()


REGISTRY = Registry()


class event:  # noqa: N801 - reads as a decorator
    """Decorator: register a payload class as version ``version`` of the event type ``name``."""

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        topics: tuple[Topic, ...],
        key: Callable[[Any], object],
        subject: Callable[[Any], object] | None = None,
        audience: Audience,
        guarded: bool = False,
        max_bytes: int = sys.maxsize,
        upcaster: Upcaster | None = None,
        administers: bool = False,
    ) -> None:
        self._name = name
        self._version = version
        self._topics = topics
        self._key = key
        self._subject = subject or key
        self._audience = audience
        self._guarded = guarded
        self._max_bytes = max_bytes
        self._upcaster = upcaster
        self._administers = administers

    def __call__(self, payload: type[P]) -> type[P]:
        key, subject = self._key, self._subject
        REGISTRY.add(
            EventType(
                name=self._name,
                version=self._version,
                payload=payload,
                topics=self._topics,
                key=lambda data: str(key(data)),
                subject=lambda data: str(subject(data)),
                audience=self._audience,
                guarded=self._guarded,
                max_bytes=self._max_bytes,
                upcaster=self._upcaster,
                administers=self._administers,
                summary=(payload.__doc__ or "").strip().splitlines()[0],
            )
        )
        return payload
