"""What may happen to a repository, and when.

Registering is legal at any time: a live repository renews its properties, a removed one comes back with its history.
Everything else needs a live one. Pushes and refresh requests are not guarded: they say what was seen.
"""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.judgement import ABSENT, AcceptedIds, AggregateState, Judgement, ReasonCode, Rejected, judge
from schemas.registry import Payload
from schemas.repositories.events import (
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
)

LIVE: Final = "live"
REMOVED: Final = "removed"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {
    RepositoryRegistered: LIVE,
    RepositoryUpdated: LIVE,
    RepositoryRenamed: LIVE,
    RepositoryRemoved: REMOVED,
}
"""Every guarded type, and where the repository is in its life afterwards."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge a guarded event of one repository."""
    return judge(state, event, accepted_ids, _next_life)


def _next_life(lifecycle: str, data: Payload) -> str | Rejected:
    if isinstance(data, RepositoryRegistered) or lifecycle == LIVE:
        return LIFE_AFTER[type(data)]
    if lifecycle == ABSENT:
        return Rejected(ReasonCode.UNKNOWN, "this repository was never registered")
    return Rejected(ReasonCode.REMOVED, "this repository was removed; register it again first")
