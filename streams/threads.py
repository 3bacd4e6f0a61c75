"""Blocking work on a thread that its caller outwaits: a cancelled task may not go on where nobody looks.

Cancelling an ``asyncio.to_thread`` ends the waiting, not the work. What holds a lock or a lease around such work
therefore has to wait for its end before it gives them back.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Interrupt:
    """Ends a piece of blocking work from outside: ``over`` names what has to be done for that, step by step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._end: Callable[[], None] | None = None

    def set(self) -> None:
        """End the step that runs now, and every later one at its start."""
        with self._lock:
            self._is_set = True
            if self._end is not None:
                self._end()

    @contextmanager
    def over(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, ``set`` calls ``end``; at once if it was set before."""
        with self._lock:
            self._end = end
            if self._is_set:
                end()
        try:
            yield
        finally:
            with self._lock:
                self._end = None


async def on_thread(work: Callable[[Interrupt], T]) -> T:
    """What ``work`` returns. When cancelled, interrupts it and waits for its end first."""
    interrupt = Interrupt()
    running = asyncio.ensure_future(asyncio.to_thread(work, interrupt))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        interrupt.set()
        await ended(running)
        raise


async def ended(running: "asyncio.Future[T]") -> T | None:
    """Wait for its end, however often the waiting itself is cancelled. Its result, None when it failed."""
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            continue
    if running.cancelled() or running.exception() is not None:
        return None
    return running.result()
