"""Who may be sent to at once: so many in all, and fewer of them to one receiver. Pure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Queue:
    """Of one receiver; ``known_to``: how many hold a place of it, or wait for one."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.known_to = 0


class Places:
    """A receiver's place is taken first: who waits for a slow one keeps nobody from another. What nobody uses is forgotten."""

    def __init__(self, at_once: int, per_receiver: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._per_receiver = per_receiver
        self._queues: dict[str, _Queue] = {}

    def __len__(self) -> int:
        """How many receivers are remembered."""
        return len(self._queues)

    @asynccontextmanager
    async def at(self, receiver: str) -> AsyncIterator[None]:
        """Hold a place at ``receiver``; waits for one."""
        queue = self._queues.setdefault(receiver, _Queue(self._per_receiver))
        queue.known_to += 1
        try:
            async with queue.places, self._all:
                yield
        finally:
            queue.known_to -= 1
            if not queue.known_to:
                del self._queues[receiver]
