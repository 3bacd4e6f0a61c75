"""The checksum of a record: sensitive to all of its content, blind to where it lies."""

import zlib

import msgspec
import pytest

from infra.kafka.checksum import record_crc32
from schemas.envelope import Record

RECORD = Record("t", 1, 2, 3, b"key", b"value", (("a", b"1"), ("b", b"")))


def test_the_format_is_fixed() -> None:
    content = b"".join(
        [
            *(b"\x00\x00\x00\x03", b"key", b"\x00\x00\x00\x05", b"value", b"\x00\x00\x00\x02"),
            *(b"\x00\x00\x00\x01", b"a", b"\x00\x00\x00\x01", b"1"),
            *(b"\x00\x00\x00\x01", b"b", b"\x00\x00\x00\x00"),
        ]
    )
    assert record_crc32(RECORD) == zlib.crc32(content)
    bare = Record("t", 0, 0, 0, None, None, ())
    assert record_crc32(bare) == zlib.crc32(b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0")


@pytest.mark.parametrize(
    "change",
    [
        {"key": b"kez"},
        {"key": None},
        {"key": b"keyv", "value": b"alue"},
        {"value": b""},
        {"value": None},
        {"headers": ()},
        {"headers": (("b", b""), ("a", b"1"))},
        {"headers": (("a", b"1b"), ("", b""))},
    ],
)
def test_every_part_of_the_content_counts(change: dict[str, object]) -> None:
    assert record_crc32(msgspec.structs.replace(RECORD, **change)) != record_crc32(RECORD)


def test_the_place_does_not_count() -> None:
    moved = msgspec.structs.replace(RECORD, topic="u", partition=9, offset=9, timestamp_ms=9)
    assert record_crc32(moved) == record_crc32(RECORD)
