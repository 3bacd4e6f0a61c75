"""Work on partitions that has ended: whatever it raised is raised."""

import asyncio

import pytest

from streams.transient import is_transient
from streams.uploads.agent import reap


async def fails(error: Exception) -> None:
    raise error


async def until(event: asyncio.Event) -> None:
    await event.wait()


def test_no_error_hides_another_and_what_goes_on_is_left_alone() -> None:
    async def work() -> tuple[BaseExceptionGroup[BaseException], set[int]]:
        going_on = asyncio.Event()
        working = {
            0: asyncio.create_task(fails(ConnectionError("the database restarts"))),
            1: asyncio.create_task(fails(KeyError("a bug"))),
            2: asyncio.create_task(asyncio.sleep(0)),
            3: asyncio.create_task(until(going_on)),
        }
        await asyncio.wait([working[number] for number in range(3)])
        with pytest.raises(BaseExceptionGroup) as caught:
            reap(working)
        left = set(working)
        going_on.set()
        await working[3]
        reap(working)
        assert working == {}
        return caught.value, left

    found, left = asyncio.run(work())
    assert left == {3}
    assert [type(error) for error in found.exceptions] == [ConnectionError, KeyError]
    assert "the database restarts" in str(found)
    assert "a bug" in str(found)
    assert not is_transient(found), "a bug beside what goes away by itself"
