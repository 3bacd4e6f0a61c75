"""Waiting for a projection before reading it (DESIGN section 6): it has to have passed what was on the log.

An agent that reads a projection because of an event first reads the ends of the projection's topics, waits until
these are applied, and writes that vector into its outcome.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import structlog

from schemas.topics import Topic

Vector = Mapping[tuple[str, int], int]
"""Next offsets by (topic, partition)."""

_SLICE_S: Final = 10.0
_log = structlog.get_logger()


class EndsOfTopics(Protocol):
    """Where topics end now: ``streams.log_ends.TopicEnds``."""

    def ends(self, topics: Iterable[Topic]) -> Vector: ...


class Waits(Protocol):
    """Waits for a projection: ``projections.reading.Reader``."""

    def wait_until(self, projection: str, ends: Vector, timeout_s: float) -> bool: ...


async def wait_until_passed(
    reader: Waits, log_ends: EndsOfTopics, projections: Mapping[str, tuple[Topic, ...]]
) -> list[str]:
    """Wait, for as long as it takes, until each projection has passed the ends of its topics as they are now.

    Returns the vector as ``topic/partition@next offset``, sorted.
    """
    topics = sorted({topic for names in projections.values() for topic in names})
    ends = await asyncio.to_thread(log_ends.ends, topics)
    for projection, names in projections.items():
        wanted = {place: offset for place, offset in ends.items() if place[0] in names}
        while not await asyncio.to_thread(reader.wait_until, projection, wanted, _SLICE_S):
            _log.info("projection_wait", projection=projection)
    return [f"{topic}/{partition}@{offset}" for (topic, partition), offset in sorted(ends.items())]
