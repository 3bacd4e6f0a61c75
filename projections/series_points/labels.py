"""Captured values as labels: cut to what a key may have."""

from typing import Final

CAPTURE_MAX_BYTES: Final = 100


def cut(capture: str) -> str:
    """At most 100 bytes of UTF-8, never half a character."""
    data = capture.encode()
    if len(data) <= CAPTURE_MAX_BYTES:
        return capture
    return data[:CAPTURE_MAX_BYTES].decode(errors="ignore")
