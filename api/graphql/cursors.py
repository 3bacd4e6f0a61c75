"""Keyset cursors: where a page ended, as an opaque text with a checksum, so that a torn one is refused."""

import base64
import binascii
import zlib

import orjson

from api.commands.errors import InputRefused


def cursor(kind: str, *key: int | str) -> str:
    """The cursor behind the row with this sort key."""
    body = orjson.dumps([kind, *key])
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()


def parse_cursor(kind: str, text: str, field: str = "after") -> list[int | str]:
    """The sort key in a cursor of this kind. Raises InputRefused."""
    try:
        raw = base64.urlsafe_b64decode(text.encode())
        found, *key = orjson.loads(raw[4:])
        if not all(isinstance(part, int | str) for part in key):
            raise ValueError
        if found != kind or zlib.crc32(raw[4:]) != int.from_bytes(raw[:4], "big"):
            raise ValueError
    except (binascii.Error, ValueError, TypeError) as error:
        raise InputRefused(
            field, "this is no cursor of this list", remedy="Give pageInfo.endCursor of the page before."
        ) from error
    return list[int | str](key)
