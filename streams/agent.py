"""The shape of an agent: topics in, a handler, events out. Pure: the wiring to Kafka is in ``streams.app``.

A handler gets the events of one micro-batch and returns the events they caused. The batch is acknowledged
only after the broker has acknowledged all of these (DESIGN section 6). What a handler raises decides what
happens to the batch: a transient error is retried in place, anything else ends the process.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from schemas.envelope import Event, Position
from schemas.errors import MillstreamError
from schemas.registry import Payload
from schemas.topics import Topic


class Transient(MillstreamError):
    """Something that goes away by itself: the batch is tried again in place, with backoff."""


class Received(msgspec.Struct, frozen=True):
    """One event as an agent sees it, with its place on the log and the broker's append time."""

    event: Event
    position: Position
    appended_at: datetime


class Outgoing(msgspec.Struct, frozen=True):
    """One event to publish; ``topic`` only where its type may stand on several."""

    event: Event
    topic: Topic | None = None


class Context(Protocol):
    """What a handler may do besides computing."""

    def now(self) -> datetime:
        """The time, in UTC: the only clock of a handler."""

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        """Publish before the batch has ended; returns once the broker has acknowledged all of it."""


Handler = Callable[[Sequence[Received], Context], Awaitable[Sequence[Outgoing]]]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. Events of other ``types`` on its topics are passed over.

    ``max_batch`` events at most come in one call, collected for ``within_s`` seconds at most.
    """

    name: str
    topics: tuple[Topic, ...]
    types: tuple[type[Payload], ...]
    handler: Handler
    max_batch: int = 500
    within_s: float = 0.05


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that runs every ``interval_s`` seconds: in one process of the cluster (now and then in two), or,
    not ``on_leader``, in every process.
    """

    name: str
    interval_s: float
    tick: Callable[[], Awaitable[None]]
    on_leader: bool = True
