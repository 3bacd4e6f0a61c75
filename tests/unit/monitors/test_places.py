"""Who may be sent to at once: a slow receiver holds its own places, and nobody else's."""

import asyncio
from contextlib import AsyncExitStack

from streams.monitors.places import Places

_LONGEST_S = 5.0


def test_a_slow_receiver_keeps_nobody_else_waiting_and_is_forgotten() -> None:
    async def scene() -> None:
        places = Places(at_once=8, per_receiver=4)
        inside, full, answered = 0, asyncio.Event(), asyncio.Event()

        async def send_slowly() -> None:
            nonlocal inside
            async with places.at("slow"):
                inside += 1
                if inside == 4:
                    full.set()
                await answered.wait()

        slow = [asyncio.create_task(send_slowly()) for _ in range(12)]
        await full.wait()
        async with asyncio.timeout(_LONGEST_S), AsyncExitStack() as held:
            for _ in range(4):
                await held.enter_async_context(places.at("fast"))
            assert inside == 4
            assert len(places) == 2
        assert len(places) == 1
        answered.set()
        await asyncio.gather(*slow)
        assert inside == 12
        assert len(places) == 0

    asyncio.run(scene())


def test_together_they_hold_no_more_than_all_places_and_who_gives_up_leaves_nothing() -> None:
    async def scene() -> None:
        places = Places(at_once=2, per_receiver=2)
        async with places.at("a"), places.at("b"):
            third = asyncio.create_task(places.at("c").__aenter__())
            while len(places) < 3:
                await asyncio.sleep(0)
            assert not third.done()
            third.cancel()
            await asyncio.gather(third, return_exceptions=True)
            assert third.cancelled()
            assert len(places) == 2
        assert len(places) == 0

    asyncio.run(scene())
