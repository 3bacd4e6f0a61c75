"""Protobuf's wire format, as far as an index needs it. Pure.

No runtime that is kept up reads one message field by field in constant memory, and none says at which byte it is wrong.
"""

from typing import Final

from streams.uploads.errors import MalformedIndex

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
_LONGEST: Final = 10
_MAX_64_BITS: Final = 1 << 64


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends. Raises IndexError at the end of the data, MalformedIndex."""
    byte = raw[at]
    value = byte & 0x7F
    shift = 7
    while byte >= 0x80:
        at += 1
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 7 * _LONGEST:
            raise MalformedIndex("malformed-varint", "a number has more than ten bytes", byte_offset=at)
    if value >= _MAX_64_BITS:
        raise MalformedIndex("malformed-varint", "a number has more than 64 bits", byte_offset=at)
    return value, at + 1


def tag(raw: bytes, at: int) -> tuple[int, int, int]:
    """Field number and wire type of the field at ``at``, and where its value begins. Raises IndexError, MalformedIndex."""
    value, behind = varint(raw, at)
    if value >> 3 == 0 or value >> 32:
        raise MalformedIndex("malformed-tag", "this is no field of a message", byte_offset=at)
    return value >> 3, value & 7, behind


def length(raw: bytes, at: int) -> tuple[int, int]:
    """Start and end of the value whose length stands at ``at``. Raises IndexError, MalformedIndex."""
    size, start = varint(raw, at)
    if size > len(raw) - start:
        raise MalformedIndex("truncated", "a field is longer than what it is part of", byte_offset=at)
    return start, start + size


def end_of(raw: bytes, at: int, wire_type: int) -> int:
    """Where the value that begins at ``at`` ends. Raises IndexError, MalformedIndex."""
    match wire_type:
        case 0:
            return varint(raw, at)[1]
        case 2:
            return length(raw, at)[1]
        case 1 | 5:
            end = at + (8 if wire_type == FIXED64 else 4)
            if end > len(raw):
                raise MalformedIndex("truncated", "a field is longer than what it is part of", byte_offset=at)
            return end
        case _:
            raise MalformedIndex("malformed-tag", f"wire type {wire_type} is not read", byte_offset=at)


def numbers(raw: bytes) -> list[int]:
    """Packed numbers. Raises IndexError, MalformedIndex."""
    found: list[int] = []
    at, end = 0, len(raw)
    while at < end:
        value, at = varint(raw, at)
        found.append(value)
    return found


def encoded_varint(value: int) -> bytes:
    """``value`` (not negative) as a number of the wire."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def encoded_field(number: int, value: bytes) -> bytes:
    """A field with a length."""
    return encoded_varint(number << 3 | LENGTH) + encoded_varint(len(value)) + value
