"""A TCP proxy before one server, which can cut, delay, or leave connections half open; it can also end TLS for PostgreSQL."""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

from infra.embedded.ports import LOOPBACK

_CHUNK_BYTES: Final = 65_536
_IN_FLIGHT: Final = 1_000
_SSL_REQUEST: Final = struct.pack("!II", 8, 80_877_103)
_GSS_REQUEST: Final = struct.pack("!II", 8, 80_877_104)
_STEP_S: Final = 30.0

Ends = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Passes bytes on until told otherwise. Methods may be called from any thread, and act at once.

    Args:
        target_port: of the server on loopback.
        port: where to listen; 0: any free one.
        tls: ends TLS here as PostgreSQL does it (``SSLRequest`` first); connections without it are refused.
    """

    def __init__(self, target_port: int, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.connections = 0
        """Accepted and passed on so far."""
        self.broken = 0
        """Connections that were open and cut."""
        self.refused = 0
        """Connections that were not let through."""
        self.delayed_bytes = 0
        self.swallowed_bytes = 0
        self._target_port = target_port
        self._tls = tls
        self._delay_s = 0.0
        self._refuses = False
        self._swallows = False
        self._open: set[Ends] = set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STEP_S)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until :meth:`heal`."""
        self._do(self._change(refuses=True, breaks=True))

    def delay(self, delay_s: float) -> None:
        """Every byte, in both directions, comes this much later."""
        self._do(self._change(delay_s=delay_s))

    def half_open(self) -> None:
        """Connections stay and new ones are taken, but nothing comes through: as when the other side lost its power."""
        self._do(self._change(swallows=True))

    def heal(self) -> None:
        """Pass bytes on again. Connections that lost some are reset, as the other side does that knows nothing of them."""
        self._do(self._change(breaks=self._swallows))

    def _do(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(_STEP_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._change(refuses=True, breaks=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _change(
        self, *, refuses: bool = False, swallows: bool = False, delay_s: float = 0.0, breaks: bool = False
    ) -> None:
        self._refuses, self._swallows, self._delay_s = refuses, swallows, delay_s
        if breaks:
            self.broken += len(self._open)
            for ends in self._open:
                for end in ends:
                    end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._refuses or (self._tls is not None and not await self._begin_tls(reader, writer, self._tls)):
            self.refused += 1
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            self.refused += 1
            writer.transport.abort()
            return
        self.connections += 1
        ends = (writer, back)
        self._open.add(ends)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._open.discard(ends)
            for end in ends:
                end.transport.abort()

    async def _begin_tls(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> bool:
        with contextlib.suppress(OSError, EOFError, ssl.SSLError):
            while True:
                asked = await reader.readexactly(8)
                if asked == _SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(context)
                    return True
                if asked != _GSS_REQUEST:
                    return False
                writer.write(b"N")
        return False

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until either side ends: bytes wait in a queue, so that a delay costs no throughput."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        sending = asyncio.create_task(self._send(waiting, writer))
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._swallows:
                    self.swallowed_bytes += len(chunk)
                    continue
                if self._delay_s:
                    self.delayed_bytes += len(chunk)
                await waiting.put((self._loop.time() + self._delay_s, chunk))
        await waiting.put((0.0, b""))
        await sending

    async def _send(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await waiting.get()
            if (left_s := due - self._loop.time()) > 0:
                await asyncio.sleep(left_s)
            if not chunk:
                break
            with contextlib.suppress(OSError):
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
            writer.close()
