"""Bytes as people read them."""

from collections.abc import Iterator
from typing import Final

HEX_BYTES: Final = 16


def hex_lines(content: bytes) -> Iterator[str]:
    """Offset, sixteen bytes in hex, and the printable ASCII of them."""
    for at in range(0, len(content), HEX_BYTES):
        part = content[at : at + HEX_BYTES]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<{HEX_BYTES * 3 - 1}}  {letters}"
