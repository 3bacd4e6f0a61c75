"""One POST to a checked address: no redirects, no proxies, capped in time and size. The only module that meets h11."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import h11
import msgspec

from schemas.errors import MillstreamError
from streams.monitors.delivery.address import AddressPolicy, Target, UrlRefused

_READ_BYTES: Final = 8 * 1024
_BODY_BYTES: Final = 16 * 1024
_BODY_S: Final = 0.5
"""How much of a body is read, and for how long: out of courtesy to the receiver, which may still be busy with the request."""


class NotDelivered(MillstreamError):
    """The receiver was not reached, or said nothing that HTTP knows."""


class Answer(msgspec.Struct, frozen=True):
    """What the receiver said; ``headers`` have names in lower case. Its body says nothing to us."""

    status: int
    headers: Mapping[str, str]


class Poster:
    """Sends under a policy. ``ca_file``: further authorities beside the system's."""

    def __init__(self, policy: AddressPolicy, timeout_s: float, ca_file: Path | None = None) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._ca_file = ca_file

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer's head decides: whatever its body comes to. Raises UrlRefused, NotDelivered."""
        try:
            async with asyncio.timeout(self._timeout_s) as patience:
                return await self._post(target, headers, body, patience)
        except TimeoutError as error:
            raise NotDelivered(f"{target.host} did not answer within {self._timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise NotDelivered(
                f"the certificate of {target.host} is not good: {error.verify_message}"
            ) from error
        except (OSError, ssl.SSLError) as error:
            raise NotDelivered(f"{target.host} cannot be reached: {_why(error)}") from error
        except (h11.RemoteProtocolError, asyncio.IncompleteReadError) as error:
            raise NotDelivered(f"{target.host} does not speak HTTP") from error

    async def _post(
        self, target: Target, headers: Mapping[str, str], body: bytes, patience: asyncio.Timeout
    ) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise UrlRefused(
                "the host's name cannot be read", remedy="Correct the URL of the action."
            ) from error
        address = self._policy.checked(target.host, [str(one[4][0]) for one in found])
        reader, writer = await asyncio.open_connection(
            address,
            target.port,
            ssl=self._context() if target.is_tls else None,
            server_hostname=target.host if target.is_tls else None,
        )
        try:
            connection = h11.Connection(h11.CLIENT)
            answer = await _exchange(connection, reader, writer, target, headers, body)
            patience.reschedule(None)
            await _let_end(connection, reader)
            return answer
        finally:
            writer.transport.abort()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        return context


def _why(error: OSError) -> str:
    """Why there is no connection, in words."""
    match error:
        case socket.gaierror():
            return "its name is not known"
        case ConnectionRefusedError():
            return "it refuses the connection"
        case ConnectionError():
            return "the connection broke"
    return error.strerror.lower() if error.strerror else type(error).__name__


async def _exchange(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    request = h11.Request(
        method="POST",
        target=target.resource,
        headers=[
            ("Host", target.authority),
            ("Connection", "close"),
            ("User-Agent", "millstream"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ],
    )
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            return Answer(
                status=event.status_code,
                headers={
                    name.decode("ascii", "replace"): value.decode("latin-1") for name, value in event.headers
                },
            )
        elif isinstance(event, h11.ConnectionClosed):
            raise NotDelivered(f"{target.host} ended the connection without an answer")


async def _let_end(connection: h11.Connection, reader: asyncio.StreamReader) -> None:
    """Read the body to its end, if that comes soon; what goes wrong does not matter any more."""
    size_bytes = 0
    with suppress(TimeoutError, OSError, h11.RemoteProtocolError):
        async with asyncio.timeout(_BODY_S):
            while size_bytes < _BODY_BYTES:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(_READ_BYTES))
                elif isinstance(event, h11.Data):
                    size_bytes += len(event.data)
                else:
                    return
