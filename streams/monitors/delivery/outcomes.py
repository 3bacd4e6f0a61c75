"""What became of one attempt, and when the next one is due. Pure."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from streams.monitors.delivery.http import Answer

WAITS_S: Final = (5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0)
"""Before the second, third, ... attempt."""
MAX_ATTEMPTS: Final = len(WAITS_S) + 1
_LONGEST_WAIT_S: Final = 18_000.0
_GONE: Final = 410
_SLOW_DOWN: Final = frozenset((408, 425, 429))
"""Refusals that ask for another time."""
_REDIRECTS: Final = range(300, 400)
_SERVER_FAULTS: Final = 500


class Delivered(msgspec.Struct, frozen=True):
    """The receiver took it."""

    message: str


class Refused(msgspec.Struct, frozen=True):
    """It did not. ``is_final``: another attempt would not help; ``is_gone``: the receiver wants nothing any more."""

    reason: str
    message: str
    is_final: bool = False
    is_gone: bool = False
    retry_after_s: float | None = None


Outcome = Delivered | Refused


def outcome_of(answer: Answer, now: datetime) -> Outcome:
    """What an answer means: 2xx is success, 410 the end, any other 4xx final, 429 and 5xx a reason to try again.

    Its body may repeat what was sent, or a secret: none of it goes on the log.
    """
    shown = f"HTTP {answer.status}"
    if 200 <= answer.status < 300:
        return Delivered(shown)
    if answer.status == _GONE:
        return Refused("gone", shown, is_final=True, is_gone=True)
    if answer.status in _REDIRECTS:
        return Refused("redirect", f"{shown}: redirects are not followed", is_final=True)
    after_s = _retry_after_s(answer.headers.get("retry-after", ""), now)
    if answer.status in _SLOW_DOWN or answer.status >= _SERVER_FAULTS:
        return Refused("refused", shown, retry_after_s=after_s)
    return Refused("refused", shown, is_final=True)


def next_attempt(attempt: int, refused: Refused, now: datetime, expires_at: datetime) -> datetime | None:
    """When the attempt after this one is due; None: there is none."""
    if refused.is_final or attempt >= MAX_ATTEMPTS:
        return None
    wait_s = max(WAITS_S[attempt - 1], min(refused.retry_after_s or 0.0, _LONGEST_WAIT_S))
    due = now + timedelta(seconds=wait_s)
    return due if due < expires_at else None


def _retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds, or a date; None where it says neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
