"""Payloads and times as text: decoded and validated in one pass, and what is wrong with them said in words."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from schemas.limits import FieldError, is_within_limits
from schemas.registry import EventType, Payload

PAYLOAD_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What ``decode_payload`` raises: the last for fields nobody knows that are nested without end."""
SHOWN_CHARACTERS: Final = 300
"""Of foreign text in a reason: dead letters keep the record itself."""
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL, and no escaped backslash before the letters u0000."""

_decoders: dict[type[Payload], Callable[[bytes], Payload]] = {}
_parse_time = msgspec.json.Decoder(datetime).decode


def decode_payload(event_type: EventType, data: bytes) -> Payload:
    """The payload in these bytes, in this very version. Raises one of PAYLOAD_ERRORS."""
    if len(data) > event_type.max_bytes:
        raise msgspec.ValidationError(
            f"{len(data):,} bytes are more than the {event_type.max_bytes:,} that {event_type.name} may have"
        )
    if b"\\" in data and _NUL.search(data):
        raise msgspec.ValidationError("text with a NUL character cannot be kept in a database")
    decode = _decoders.get(event_type.payload)
    if decode is None:
        decode = _decoders[event_type.payload] = msgspec.json.Decoder(event_type.payload).decode
    return decode(data)


def reason_and_path(error: Exception) -> tuple[str, str]:
    """What a payload's decoding error says: in words, and of which field (JSONPath)."""
    text = str(error)
    reason, at, path = text.rpartition(" - at `")
    reason, path = (reason, path.rstrip("`")) if at else (text, "$")
    if isinstance(error.__cause__, FieldError):
        path = f"{path}.{error.__cause__.field}"
    return reason[:SHOWN_CHARACTERS], path[:SHOWN_CHARACTERS]


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time with its zone, in the years that can be counted in; None when it is no such thing."""
    try:
        return parse_time_bytes(text.encode())
    except UnicodeEncodeError:
        return None


def parse_time_bytes(data: bytes) -> datetime | None:
    """The same from UTF-8."""
    try:
        time = _parse_time(b'"%b"' % data)
    except msgspec.DecodeError:
        return None
    return None if time.tzinfo is None or not is_within_limits(time) else time
