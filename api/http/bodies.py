"""Request bodies, read whole under a cap before anything looks at them; gzip is inflated under the same care.

An endpoint that takes more (an upload) streams it and stands in ``BodyPolicy.streamed_prefixes``.
"""

import asyncio
import zlib
from collections.abc import Iterable

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.refusals import refusal

_GZIP_WINDOW = zlib.MAX_WBITS | 16
_BODY = "millstream.body"


class BodyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Caps. ``size_bytes`` counts what arrives and, separately, what it inflates to."""

    size_bytes: int = 1024 * 1024
    read_timeout_s: float = 30.0
    streamed_prefixes: tuple[str, ...] = ()


class BodyTooLarge(ValueError):
    """More bytes than the cap, as sent or inflated."""


class BodyMalformed(ValueError):
    """Not what its Content-Encoding says."""


def body_of(scope: Scope) -> bytes:
    """The inflated body of this request; empty when it has none."""
    found = scope.get(_BODY, b"")
    return found if isinstance(found, bytes) else b""


def inflate(parts: Iterable[bytes], limit_bytes: int) -> bytes:
    """Gunzip, stopping at the cap. Raises BodyTooLarge, BodyMalformed."""
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    inflated = bytearray()
    try:
        for part in parts:
            inflated += inflater.decompress(part, limit_bytes + 1 - len(inflated))
            if len(inflated) > limit_bytes:
                raise BodyTooLarge
    except zlib.error as error:
        raise BodyMalformed(f"the body is not gzip: {error}") from error
    if not inflater.eof:
        raise BodyMalformed("the gzip body ends too early")
    if inflater.unused_data:
        raise BodyMalformed("there are bytes after the gzip body")
    return bytes(inflated)


class Bodies:
    """Reads the body, inflates it, and hands it on as one message without Content-Encoding."""

    def __init__(self, app: ASGIApp, *, policy: BodyPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._policy.streamed_prefixes or ("\0",)):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            await refusal(
                scope,
                415,
                "ENCODING_UNSUPPORTED",
                f"Content-Encoding {encoding!r} is not read; send gzip or none.",
            )(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._policy.read_timeout_s):
                parts = await _read(receive, headers.get("content-length"), self._policy.size_bytes)
            body = (
                inflate(parts, self._policy.size_bytes) if encoding == "gzip" and parts else b"".join(parts)
            )
        except BodyTooLarge:
            limit = f"{self._policy.size_bytes:,} bytes"
            await refusal(
                scope, 413, "BODY_TOO_LARGE", f"The body has more than {limit}, as sent or unpacked."
            )(scope, receive, send)
            return
        except BodyMalformed as error:
            await refusal(scope, 400, "BODY_MALFORMED", f"{error}.")(scope, receive, send)
            return
        except TimeoutError:
            await refusal(
                scope,
                408,
                "BODY_TOO_SLOW",
                f"The body did not arrive within {self._policy.read_timeout_s:g} s.",
            )(scope, receive, send)
            return
        scope[_BODY] = body
        scope["headers"] = [
            (name, value)
            for name, value in scope["headers"]
            if name not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ] + ([(b"content-length", str(len(body)).encode())] if body else [])
        await self._app(scope, _replay(body, receive), send)


async def _read(receive: Receive, content_length: str | None, limit_bytes: int) -> list[bytes]:
    if (
        content_length is not None
        and content_length.isascii()
        and content_length.isdigit()
        and int(content_length) > limit_bytes
    ):
        raise BodyTooLarge
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyMalformed("the caller hung up")
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise BodyTooLarge
        if part:
            parts.append(part)
        if not message.get("more_body", False):
            return parts


def _replay(body: bytes, receive: Receive) -> Receive:
    handed_on = False

    async def replayed() -> Message:
        nonlocal handed_on
        if not handed_on:
            handed_on = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed
