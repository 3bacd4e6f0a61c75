"""The header ``Idempotency-Key``: a repeat with the same key is the same request."""

from typing import Final

from starlette.datastructures import Headers

MAX_CHARACTERS: Final = 255
RULE: Final = f"Idempotency-Key has to be 1 to {MAX_CHARACTERS} printable ASCII characters."


class KeyRefused(ValueError):
    """The header's value is no key."""


def idempotency_key(headers: Headers) -> str | None:
    """The key of a request, None without one. Raises KeyRefused."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and key.strip() and len(key) <= MAX_CHARACTERS):
        raise KeyRefused(RULE)
    return key
