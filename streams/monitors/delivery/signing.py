"""Signatures of webhooks by Standard Webhooks 1.0: written out, since it is ten lines; a test verifies them by the library. Pure."""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final

from schemas.errors import MillstreamError

PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64


class SigningKeyInvalid(MillstreamError):
    """A key is not what Standard Webhooks asks for."""


def new_key() -> str:
    """A fresh key."""
    return key_text(secrets.token_bytes(32))


def key_text(key: bytes) -> str:
    """The key of these bytes, as people are shown it."""
    return PREFIX + base64.b64encode(key).decode()


def key_bytes(key: str) -> bytes:
    """The bytes of ``whsec_`` and base64. Raises SigningKeyInvalid."""
    try:
        found = base64.b64decode(key.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not _LEAST_BYTES <= len(found) <= _MOST_BYTES:
        raise SigningKeyInvalid(
            "a signing key is whsec_ and base64 of 24 to 64 bytes",
            remedy="Leave it out: one is made.",
        )
    return found


def signed_headers(key: str, delivery_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt. Raises SigningKeyInvalid."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    digest = hmac.new(key_bytes(key), signed, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
