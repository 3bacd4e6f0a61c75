"""Whether a repeat asks for the same thing as the first time. Pure."""

from datetime import timedelta

import msgspec

from schemas.envelope import Event
from schemas.events import InsightCreated, MonitorCreated, TokenCreated


def same_wish(said: Event, wanted: Event) -> bool:
    """Whether two events of one type say the same, but for the moment at which they were said."""
    first, again = said.data, wanted.data
    if isinstance(first, InsightCreated | MonitorCreated) and isinstance(
        again, InsightCreated | MonitorCreated
    ):
        again = msgspec.structs.replace(again, created_at=first.created_at)
    elif (
        isinstance(first, TokenCreated)
        and isinstance(again, TokenCreated)
        and _lasts_s(said, first) == _lasts_s(wanted, again)
    ):
        again = msgspec.structs.replace(again, expires_at=first.expires_at)
    return first == again


def _lasts_s(event: Event, token: TokenCreated) -> int | None:
    """The lifetime that was asked for, in seconds: the event is said a moment after its end was reckoned. None: for ever."""
    if token.expires_at is None:
        return None
    return -((event.time - token.expires_at) // timedelta(seconds=1))
