"""Leases: a partition's repositories have one writer, also while the partition moves between workers.

Kafka takes a partition away without waiting for the batch in hand. The next owner therefore waits for the lease,
which the first one gives back when that batch has ended, or loses with its session when it dies.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from streams.slots import SlotLost
from streams.threads import ended

_POLL_S: Final = 0.05
_SAY_AFTER_S: Final = 10.0
_log = structlog.get_logger()


class Locks(Protocol):
    """What gives leases: ``streams.slots.Slot``."""

    def try_lease(self, name: str, number: int) -> bool: ...
    def release_lease(self, name: str, number: int) -> None: ...


class Leases:
    """The leases of one process on the partitions of the topics keyed by repository."""

    def __init__(self, locks: Locks, name: str) -> None:
        self._locks = locks
        self._name = name

    @asynccontextmanager
    async def partition(self, number: int) -> AsyncIterator[None]:
        """Hold partition ``number``; waits while another process holds it. Raises SlotLost."""
        waited_s = 0.0
        while not await self._try(number):
            await asyncio.sleep(_POLL_S)
            waited_s += _POLL_S
            if waited_s >= _SAY_AFTER_S:
                _log.info("lease_wait", lease=self._name, partition=number)
                waited_s = 0.0
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(self._locks.release_lease, self._name, number))

    @asynccontextmanager
    async def partition_if_free(self, number: int) -> AsyncIterator[bool]:
        """Hold partition ``number`` unless another process does; whether it is held. Raises SlotLost."""
        is_mine = await self._try(number)
        try:
            yield is_mine
        finally:
            if is_mine:
                await asyncio.shield(asyncio.to_thread(self._locks.release_lease, self._name, number))

    async def confirm(self, number: int) -> None:
        """Ask whether partition ``number``, which this process holds, is still its own: one that was paused asks late.

        Raises SlotLost: somebody else may hold it now, and what was worked out must not be said.
        """
        if not await self._try(number):
            raise SlotLost(
                f"partition {number} is another process's", remedy="The process ends; start it again."
            )
        await asyncio.shield(asyncio.to_thread(self._locks.release_lease, self._name, number))

    async def _try(self, number: int) -> bool:
        """One attempt. It ends although the caller is cancelled: what it took is then given back."""
        attempt = asyncio.ensure_future(asyncio.to_thread(self._locks.try_lease, self._name, number))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if await ended(attempt):
                await ended(
                    asyncio.ensure_future(asyncio.to_thread(self._locks.release_lease, self._name, number))
                )
            raise
