"""Whether a repeat asks for the same thing as the first time. Pure."""

import msgspec

from schemas.events import InsightCreated, TokenCreated
from schemas.registry import Payload


def same_wish(said: Payload, wanted: Payload) -> bool:
    """Whether two payloads of one type say the same, but for the moment at which they were said."""
    if isinstance(said, InsightCreated) and isinstance(wanted, InsightCreated):
        wanted = msgspec.structs.replace(wanted, created_at=said.created_at)
    if isinstance(said, TokenCreated) and isinstance(wanted, TokenCreated):
        wanted = msgspec.structs.replace(wanted, expires_at=said.expires_at)
    return said == wanted
