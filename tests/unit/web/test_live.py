"""The hub of server-sent events: who is told what, how often, and when a stream ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import TypeVar

import pytest
from starlette.testclient import TestClient

from api.http.live import GONE, LiveHub, LivePolicy
from tests.unit.web.bell import Bell
from tests.unit.web.clients import client_of
from tests.unit.web.fixture import FixtureContext

T = TypeVar("T")
_PATIENT = LivePolicy(interval_s=0.02, patience_s=5.0, heartbeat_s=5.0)


class _Watched:
    """A topic whose state the test sets; counts the looks at it."""

    def __init__(self, state: str | None = "one") -> None:
        self.state = state
        self.looks = 0

    async def __call__(self) -> str | None:
        self.looks += 1
        return self.state


def _run(test: Coroutine[object, object, T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(20):
            return await test

    return asyncio.run(within())


async def _told(stream: AsyncIterator[bytes]) -> str:
    """The state in the next event."""
    async for part in stream:
        text = part.decode()
        if text.startswith("event:"):
            return text.partition("data: ")[2].strip()
    return "ended"


def test_a_change_is_told_once_and_what_the_page_knows_is_not() -> None:
    bell, topic = Bell(), _Watched()

    async def scene() -> None:
        hub = LiveHub(bell, _PATIENT)
        stream = hub.stream("a", topic, known="one")
        following = asyncio.create_task(_told(stream))
        while not topic.looks:
            await asyncio.sleep(0.005)
        bell.ring()
        await asyncio.sleep(0.1)
        assert not following.done()
        topic.state = "two"
        bell.ring()
        assert await following == "two"
        topic.state = "three"
        bell.ring()
        assert await _told(stream) == "three"
        hub.close()

    _run(scene())


def test_looks_that_take_long_take_half_of_the_time_at_most() -> None:
    bell, taken_s = Bell(), []

    async def slow() -> str:
        began_s = time.monotonic()
        await asyncio.sleep(0.1)
        bell.ring()  # something moves meanwhile, every time
        taken_s.append(time.monotonic() - began_s)
        return f"state {len(taken_s)}"

    async def scene() -> float:
        hub = LiveHub(bell, _PATIENT)
        stream = hub.stream("a", slow, known="")
        began_s = time.monotonic()
        while len(taken_s) < 6:
            await _told(stream)
        hub.close()
        return time.monotonic() - began_s

    whole_s = _run(scene())
    # The first look is the stream's own, the last one is not followed by a rest.
    assert whole_s >= 2 * sum(taken_s[1:-1]) + taken_s[-1]


def test_who_comes_late_is_told_what_he_missed() -> None:
    async def scene() -> None:
        hub = LiveHub(Bell(), _PATIENT)
        assert await _told(hub.stream("a", _Watched("new"), known="old")) == "new"
        hub.close()

    _run(scene())


def test_one_look_serves_all_browsers_and_a_burst_costs_few() -> None:
    bell, topic = Bell(), _Watched("0")

    async def scene() -> int:
        hub = LiveHub(bell, LivePolicy(interval_s=0.2, patience_s=5.0))
        streams = [hub.stream("a", topic, known="") for _ in range(20)]
        assert [await _told(stream) for stream in streams] == ["0"] * 20
        before, ends = topic.looks, time.monotonic() + 1.0
        while time.monotonic() < ends:
            topic.state = str(int(topic.state or 0) + 1)
            bell.ring()
            await asyncio.sleep(0.001)
        looks = topic.looks - before
        told = [await _told(stream) for stream in streams]
        assert len(set(told)) == 1
        hub.close()
        return looks

    assert 2 <= _run(scene()) <= 6


def test_without_a_signal_it_looks_by_itself() -> None:
    topic = _Watched("one")

    async def scene() -> str:
        hub = LiveHub(Bell(), LivePolicy(interval_s=0.02, patience_s=0.05))
        stream = hub.stream("a", topic, known="one")
        following = asyncio.create_task(_told(stream))
        while not topic.looks:
            await asyncio.sleep(0.005)
        topic.state = "two"
        found = await following
        hub.close()
        return found

    assert _run(scene()) == "two"


def test_a_stream_ends_with_its_topic_its_time_and_the_server() -> None:
    async def scene() -> None:
        bell = Bell()
        gone = LiveHub(bell, _PATIENT).stream("a", _Watched(GONE), known="one")
        assert [part async for part in gone][-1].startswith(b"event: gone\n")
        hub = LiveHub(bell, LivePolicy(interval_s=0.02, patience_s=0.05, heartbeat_s=0.05, life_s=0.2))
        parts = [part async for part in hub.stream("a", _Watched("one"), known="one")]
        assert parts[0] == b"retry: 2000\n\n"
        assert b": waiting\n\n" in parts
        hub = LiveHub(bell, _PATIENT)
        stream = hub.stream("a", _Watched("one"), known="one")
        following = asyncio.create_task(_told(stream))
        while not hub.open_streams:
            await asyncio.sleep(0.005)
        hub.close()
        assert await following == "ended"
        assert hub.open_streams == 0

    _run(scene())


def test_a_browser_that_left_is_forgotten_and_nothing_is_looked_at_for_it() -> None:
    bell, topic = Bell(), _Watched("one")

    async def scene() -> None:
        hub = LiveHub(bell, _PATIENT)
        following = asyncio.create_task(_told(hub.stream("a", topic, known="one")))
        while not hub.open_streams:
            await asyncio.sleep(0.005)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        while hub.open_streams:
            await asyncio.sleep(0.005)
        bell.ring()
        await asyncio.sleep(0.1)
        looks = topic.looks
        bell.ring()
        await asyncio.sleep(0.1)
        assert topic.looks == looks

    _run(scene())


def test_a_look_that_fails_hurts_no_other_topic(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bell, good = Bell(), _Watched("one")

    async def broken() -> str | None:
        raise RuntimeError("no answer")

    async def scene() -> None:
        hub = LiveHub(bell, _PATIENT)
        bad_stream, stream = hub.stream("b", broken, known=""), hub.stream("a", good, known="one")
        bad = asyncio.create_task(_told(bad_stream))
        following = asyncio.create_task(_told(stream))
        while not good.looks:
            await asyncio.sleep(0.005)
        good.state = "two"
        bell.ring()
        assert await following == "two"
        hub.close()
        assert await bad == "ended"

    _run(scene())
    # On the standard library's log where somebody has configured logging before.
    assert "live_look_failed" in capsys.readouterr().out + caplog.text


def test_streams_are_bounded() -> None:
    async def scene() -> None:
        hub = LiveHub(Bell(), LivePolicy(streams=1))
        following = asyncio.create_task(_told(hub.stream("a", _Watched("one"), known="one")))
        while not hub.open_streams:
            await asyncio.sleep(0.005)
        refused = hub.response("a", _Watched("one"), "one")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        hub.close()
        await following

    _run(scene())


def test_the_page_names_its_stream_and_what_it_shows(client: TestClient, context: FixtureContext) -> None:
    page = client.get("/insights/1").text
    known = page.partition('data-url="/insights/1/live" data-known="')[2].partition('"')[0]
    assert len(known) == 18
    assert client.get("/insights/1").text.count(f'data-known="{known}"') == 1
    context.nodes[0]["title"] = "Another title"
    assert f'data-known="{known}"' not in client.get("/insights/1").text


def test_the_stream_of_an_insight_tells_what_its_page_would(context: FixtureContext) -> None:
    with client_of(context) as client:
        known = client.get("/insights/1").text.partition('data-known="')[2].partition('"')[0]
        # An insight that is not there ends its stream at once; so does the life of one that is.
        assert "event: gone" in client.get("/insights/99/live").text
        stale = client.get("/insights/1/live", params={"known": "older"}).text
        assert f"id: {known}\n" in stale
        assert "event:" not in client.get("/insights/1/live", params={"known": known}).text
        again = client.get("/insights/1/live?known=older", headers={"last-event-id": known})
        assert "event:" not in again.text
        assert again.headers["content-type"].startswith("text/event-stream")


def test_nobody_listens_without_logging_in(context: FixtureContext) -> None:
    with client_of(context, known=False) as client:
        assert client.get("/insights/1/live").status_code == 401
