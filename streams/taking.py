"""Batches of a stream: taken when something arrives, never looked for.

Faust's ``take_events`` wakes each agent at every ``within``, with several tasks each time, whether something came or not: measured,
half of what idle agents cost. This one sleeps until an event comes. Pure of Faust: a stream is what has ``events`` and ``ack``.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

E = TypeVar("E")


class Stream(Protocol[E]):
    """The part of ``faust.Stream`` that is used. ``enable_acks`` False: who reads acknowledges by ``ack``."""

    enable_acks: bool

    def events(self) -> AsyncIterable[E]: ...

    async def ack(self, event: E) -> object: ...


async def batches(stream: Stream[E], most: int, within_s: float) -> AsyncGenerator[list[E], None]:
    """``most`` events at most, collected for ``within_s`` seconds at most from the first one on.

    A batch is acknowledged when the next one is asked for. Meanwhile one event at most is read ahead: what a rebalance gives to
    another member stays where Faust passes it over. Ends where the stream ends; raises what it raises.
    """
    stream.enable_acks = False
    hand: _Hand[E] = _Hand(most)
    filling = asyncio.create_task(hand.fill(stream.events()))
    try:
        while batch := await hand.take(within_s):
            yield batch
            for event in batch:
                await stream.ack(event)
            hand.let_go()
        await filling
    finally:
        filling.cancel()


class _Hand(Generic[E]):
    """Holds a batch while it is collected and worked."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._events: list[E] = []
        self._ended = False
        self._has_some = asyncio.Event()
        self._is_full = asyncio.Event()
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def fill(self, events: AsyncIterable[E]) -> None:
        try:
            async for event in events:
                await self._is_free.wait()
                self._events.append(event)
                self._has_some.set()
                if len(self._events) >= self._most:
                    self._is_free.clear()
                    self._is_full.set()
        finally:
            self._ended = True
            self._has_some.set()
            self._is_full.set()

    async def take(self, within_s: float) -> list[E]:
        """The next batch; empty where the stream has ended."""
        await self._has_some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._is_full.wait()
        self._is_free.clear()
        batch, self._events = self._events, []
        if not self._ended:
            self._has_some.clear()
            self._is_full.clear()
        return batch

    def let_go(self) -> None:
        """The batch is worked: the next one is collected."""
        self._is_free.set()
