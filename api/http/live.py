"""Server-sent events: tells browsers that what they look at has changed. What changed they ask for themselves.

One task per process looks at each watched topic whenever a projection moved, a few times a second at most, half of the time at
most, and however many browsers watch it. A stream ends when its client is gone, when the topic is, after a while, and when the server stops.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Final, Protocol

import msgspec
import structlog
from starlette.responses import Response, StreamingResponse

GONE: Final = "gone"
"""The state of a topic that is not there any more; its streams end with it."""
Look = Callable[[], Awaitable[str | None]]
"""The state of a topic as a short text, ``GONE``, or None when it cannot be had just now."""
_SLICE_S: Final = 0.3
_log = structlog.get_logger()


class Moves(Protocol):
    """Says when projections moved (``projections.reading.Reader``)."""

    @property
    def moves(self) -> int: ...
    def wait_moved(self, seen: int, timeout_s: float) -> None: ...


class LivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``streams``: open at the same time; ``interval_s``: between two looks; ``patience_s``: look then, signal or not;
    ``life_s``: of one stream, so that who asks is checked again; ``retry_ms``: before a browser connects again."""

    streams: int = 200
    interval_s: float = 0.25
    patience_s: float = 2.0
    heartbeat_s: float = 15.0
    life_s: float = 600.0
    retry_ms: int = 2_000


class _Topic:
    def __init__(self, look: Look) -> None:
        self.look = look
        self.state: str | None = None
        self.listeners: set[asyncio.Event] = set()

    async def refresh(self) -> None:
        try:
            found = await self.look()
        except Exception:  # noqa: BLE001 - one topic's trouble must not end the streams of all others
            _log.exception("live_look_failed")
            return
        if found is None or found == self.state:
            return
        self.state = found
        for listener in self.listeners:
            listener.set()


class LiveHub:
    """All streams of a process. Lives in its event loop; only waiting for a signal takes a thread."""

    def __init__(self, moves: Moves, policy: LivePolicy = LivePolicy()) -> None:  # noqa: B008
        self._moves = moves
        self._policy = policy
        self._topics: dict[Hashable, _Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def open_streams(self) -> int:
        """How many browsers listen now."""
        return sum(len(topic.listeners) for topic in self._topics.values())

    def close(self) -> None:
        """End all streams, and take no new ones: the server stops."""
        self._closing = True
        for topic in self._topics.values():
            for listener in topic.listeners:
                listener.set()

    def response(self, key: Hashable, look: Look, known: str) -> Response:
        """The stream of a topic for one client that has seen the state ``known``; 503 when there are too many.

        Whoever passes the same ``key`` must be allowed to see the same.
        """
        if self._closing or self.open_streams >= self._policy.streams:
            return Response(status_code=503, headers={"retry-after": "10"})
        return StreamingResponse(
            self.stream(key, look, known),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def stream(self, key: Hashable, look: Look, known: str) -> AsyncIterator[bytes]:
        """``event: moved`` with the new state as id, whenever the topic's state is another than the last one sent."""
        policy, ends_s = self._policy, time.monotonic() + self._policy.life_s
        topic, listener = self._topics.setdefault(key, _Topic(look)), asyncio.Event()
        topic.listeners.add(listener)
        try:
            yield f"retry: {policy.retry_ms}\n\n".encode()
            if topic.state is None:
                await topic.refresh()
            self._start()
            while not self._closing and time.monotonic() < ends_s:
                listener.clear()
                state = topic.state
                if state is not None and state != known:
                    known = state
                    yield f"event: {GONE if state == GONE else 'moved'}\nid: {state}\ndata: {state}\n\n".encode()
                    if state == GONE:
                        return
                try:
                    await asyncio.wait_for(listener.wait(), min(policy.heartbeat_s, policy.life_s))
                except TimeoutError:
                    yield b": waiting\n\n"
        finally:
            topic.listeners.discard(listener)
            if not topic.listeners:
                self._topics.pop(key, None)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        """Look at every topic after each signal, until nobody listens."""
        while self._topics and not self._closing:
            began_s = time.monotonic()
            # Taken before the look: what moves meanwhile is looked at next time.
            seen = self._moves.moves
            for topic in list(self._topics.values()):
                await topic.refresh()
            looked_s = time.monotonic() - began_s
            await self._moved(seen, began_s + self._policy.patience_s)
            # At most half of the time goes into looking, however long a look takes.
            next_s = began_s + max(self._policy.interval_s, 2 * looked_s)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _moved(self, seen: int, until_s: float) -> None:
        """Wait for a signal after ``seen``, in slices: a process that ends waits for its threads."""
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            await asyncio.to_thread(self._moves.wait_moved, seen, min(_SLICE_S, left_s))
            if self._moves.moves != seen:
                return
