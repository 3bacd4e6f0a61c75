"""Batches of a stream: when they are taken, how large they are, and when they are acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from streams.taking import batches

_LONG_S = 30.0
_SHORT_S = 0.01


class Source:
    """A stream that a test fills. ``read``: how many events were taken from it."""

    def __init__(self) -> None:
        self.enable_acks = True
        self.queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.acknowledged: list[int] = []
        self.read = 0

    def put(self, *items: int | Exception | None) -> None:
        for item in items:
            self.queue.put_nowait(item)

    async def events(self) -> AsyncIterator[int]:
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self.read += 1
            yield item

    async def ack(self, event: int) -> None:
        self.acknowledged.append(event)


def scene(play: Callable[[Source], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await play(Source())

    asyncio.run(run())


async def quiet() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_full_batch_is_taken_at_once_and_the_rest_after_the_window() -> None:
    async def play(source: Source) -> None:
        source.put(*range(7))
        taken = batches(source, 3, _SHORT_S)
        assert [await anext(taken) for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6]]
        assert not source.enable_acks

    scene(play)


def test_a_batch_is_acknowledged_when_the_next_one_is_asked_for() -> None:
    async def play(source: Source) -> None:
        source.put(1, 2, 3)
        taken = batches(source, 2, _LONG_S)
        assert await anext(taken) == [1, 2]
        await quiet()
        assert source.acknowledged == []
        source.put(4)
        assert await anext(taken) == [3, 4]
        assert source.acknowledged == [1, 2]

    scene(play)


def test_at_most_one_event_is_read_ahead_of_a_batch_in_hand() -> None:
    async def play(source: Source) -> None:
        source.put(*range(50))
        taken = batches(source, 2, _LONG_S)
        assert await anext(taken) == [0, 1]
        await quiet()
        assert source.read == 3
        # A batch that was not full is no different.
        late = Source()
        late.put(1)
        small = batches(late, 10, _SHORT_S)
        assert await anext(small) == [1]
        late.put(*range(50))
        await quiet()
        assert late.read == 2

    scene(play)


def test_nothing_runs_while_nothing_comes() -> None:
    async def play(source: Source) -> None:
        taken = batches(source, 2, 0.0)
        waiting = asyncio.ensure_future(anext(taken))
        await quiet()
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert [timer for timer in scheduled if not timer.cancelled()] == [scheduled[0]], "the scene's own"
        source.put(1)
        assert await waiting == [1]

    scene(play)


def test_what_came_before_the_end_is_taken_and_then_it_ends() -> None:
    async def play(source: Source) -> None:
        source.put(1, 2, 3, None)
        assert [batch async for batch in batches(source, 2, _SHORT_S)] == [[1, 2], [3]]
        assert source.acknowledged == [1, 2, 3]

    scene(play)


def test_what_the_stream_raises_is_raised_behind_what_it_gave() -> None:
    async def play(source: Source) -> None:
        source.put(1, RuntimeError("the channel broke"))
        taken = batches(source, 5, _SHORT_S)
        assert await anext(taken) == [1]
        with pytest.raises(RuntimeError, match="the channel broke"):
            await anext(taken)

    scene(play)


def test_who_stops_taking_stops_the_reading() -> None:
    async def play(source: Source) -> None:
        source.put(*range(5))
        taken = batches(source, 2, _SHORT_S)
        await anext(taken)
        await taken.aclose()
        await quiet()
        read = source.read
        source.put(*range(5))
        await quiet()
        assert source.read == read
        assert source.acknowledged == []

    scene(play)
