"""Counting processes of one worker: as many as there are handlers, each with one repository at a time."""

import asyncio
import os
import sys
from typing import Final

import msgspec

from streams.recordings.counter import LENGTH_BYTES, CountTask, NotCounted, Reply
from streams.search.engine import SearchLimits

_reply_decoder: Final = msgspec.msgpack.Decoder[Reply](Reply)
_encode: Final = msgspec.msgpack.Encoder().encode


class CountingPool:
    """``size`` processes, started when first needed. For one event loop, which must run in the main thread."""

    def __init__(self, size: int, limits: SearchLimits) -> None:
        self._limits = limits
        self._places: asyncio.LifoQueue[asyncio.subprocess.Process | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._places.put_nowait(None)

    async def warm_up(self) -> None:
        """Start the processes before they are needed: the first answer then comes half a second earlier."""
        idle = [self._places.get_nowait() for _ in range(self._places.qsize())]
        for process in idle:
            self._places.put_nowait(process or await self._start())

    async def count(self, task: CountTask) -> Reply:
        """One pass. A process that dies, or takes longer than the task may, is a ``NotCounted`` and is replaced."""
        process = await self._places.get()
        kept: asyncio.subprocess.Process | None = None
        try:
            if process is None or process.returncode is not None:
                process = await self._start()
            reply = await asyncio.wait_for(_ask(process, task), task.timeout_s)
            kept = process
            return reply
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await process.wait() if process is not None else None
            return NotCounted("handler-died", f"the counting process ended with code {code}")
        except TimeoutError:
            return NotCounted(
                "timeout", f"the pass over the repository did not end within {task.timeout_s:g} s"
            )
        finally:
            if kept is None and process is not None and process.returncode is None:
                process.kill()
            self._places.put_nowait(kept)

    async def _start(self) -> asyncio.subprocess.Process:
        limits = msgspec.json.encode(self._limits).decode()
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streams.recordings.counter",
            str(os.getpid()),
            limits,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )


async def _ask(process: asyncio.subprocess.Process, task: CountTask) -> Reply:
    if process.stdin is None or process.stdout is None:
        raise ConnectionError("the counting process has no pipes")
    data = _encode(task)
    process.stdin.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
    await process.stdin.drain()
    head = await process.stdout.readexactly(LENGTH_BYTES)
    reply: Reply = _reply_decoder.decode(await process.stdout.readexactly(int.from_bytes(head, "big")))
    return reply
