"""A checksum of one record, for checkpoints: no client hands out Kafka's own (DESIGN section 7)."""

import struct
import zlib

from schemas.envelope import Record

_LENGTH = struct.Struct(">i")
_ABSENT = _LENGTH.pack(-1)


def record_crc32(record: Record) -> int:
    """CRC-32 over key, value and headers in order, each behind its length in four big-endian bytes (-1: absent).

    The number of headers stands before them. Offsets and times are left out: another log with equal content at
    the same offset is the same log for whoever reads it.
    """
    parts: list[bytes] = []
    for field in (record.key, record.value):
        _append(parts, field)
    parts.append(_LENGTH.pack(len(record.headers)))
    for name, value in record.headers:
        _append(parts, name.encode())
        _append(parts, value)
    return zlib.crc32(b"".join(parts))


def _append(parts: list[bytes], field: bytes | None) -> None:
    if field is None:
        parts.append(_ABSENT)
        return
    parts.append(_LENGTH.pack(len(field)))
    parts.append(field)
