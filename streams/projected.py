"""Waiting for a projection before reading it (DESIGN section 6): it has to have passed what was on the log.

An agent that reads a projection because of an event first reads the ends of the projection's topics, waits until
these are applied, and writes that vector into its outcome.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, Self

import structlog

from schemas.topics import Topic

Vector = Mapping[tuple[str, int], int]
"""Next offsets by (topic, partition)."""

_SLICE_S: Final = 10.0
_GLANCE_S: Final = 2.0
_log = structlog.get_logger()


class EndsOfTopics(Protocol):
    """Where topics end now: ``streams.log_ends.TopicEnds``."""

    def ends(self, topics: Iterable[Topic]) -> Vector: ...


class Waits(Protocol):
    """Waits for a projection: ``projections.reading.Reader``."""

    def wait_until(self, projection: str, ends: Vector, timeout_s: float) -> bool: ...


class Wait:
    """One wait of an agent: the ends as read on receipt, and the projections that have passed them."""

    def __init__(self, reader: Waits, ends: Vector) -> None:
        self._reader = reader
        self._ends = ends
        self._topics: set[str] = set()

    @classmethod
    async def on_receipt(cls, reader: Waits, log_ends: EndsOfTopics, topics: Iterable[Topic]) -> Self:
        """Read the ends of ``topics`` now."""
        return cls(reader, await asyncio.to_thread(log_ends.ends, sorted(set(topics))))

    async def passed(self, projections: Mapping[str, tuple[Topic, ...]]) -> None:
        """Wait, for as long as it takes, until each projection has passed the ends of its topics."""
        await asyncio.gather(*(self._wait(projection, topics) for projection, topics in projections.items()))
        self._topics.update(topic for topics in projections.values() for topic in topics)

    @property
    def vector(self) -> list[str]:
        """What was waited for, as ``topic/partition@next offset``, sorted."""
        return [
            f"{topic}/{partition}@{offset}"
            for (topic, partition), offset in sorted(self._ends.items())
            if topic in self._topics
        ]

    async def _wait(self, projection: str, topics: tuple[Topic, ...]) -> None:
        wanted = {place: offset for place, offset in self._ends.items() if place[0] in topics}
        while not await asyncio.to_thread(self._reader.wait_until, projection, wanted, _SLICE_S):
            _log.info("projection_wait", projection=projection)


async def has_passed(
    reader: Waits, log_ends: EndsOfTopics, projection: str, topic: Topic, within_s: float = _GLANCE_S
) -> bool:
    """Whether the projection passes the end of ``topic``, as it is now, soon: for a timer, which may look again later."""
    ends = await asyncio.to_thread(log_ends.ends, (topic,))
    return await asyncio.to_thread(reader.wait_until, projection, ends, within_s)
