"""What may happen to a user, an organisation or a token, and when.

Each is made once and ends once; an id is never used again, so what belonged to a closed account cannot come to life with a
namesake. That a member or a token's bearer exists is no rule here: it is another aggregate, and looked at when reading.
"""

from collections.abc import Mapping
from typing import Final

from schemas.accounts.events import (
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationMemberAdded,
    OrganizationMemberRemoved,
    TokenCreated,
    TokenRevoked,
    UserAdminChanged,
    UserCreated,
    UserDeleted,
    UserUpdated,
)
from schemas.envelope import Event
from schemas.judgement import ABSENT, AcceptedIds, AggregateState, Judgement, ReasonCode, Rejected, judge
from schemas.registry import Payload

LIVE: Final = "live"
ENDED: Final = "ended"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {
    UserCreated: LIVE,
    UserUpdated: LIVE,
    UserAdminChanged: LIVE,
    UserDeleted: ENDED,
    OrganizationCreated: LIVE,
    OrganizationDeleted: ENDED,
    OrganizationMemberAdded: LIVE,
    OrganizationMemberRemoved: LIVE,
    TokenCreated: LIVE,
    TokenRevoked: ENDED,
}
"""Every guarded type, and where what it is about is in its life afterwards."""
_BEGINS: Final = (UserCreated, OrganizationCreated, TokenCreated)


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge an event of one user, organisation or token."""
    return judge(state, event, accepted_ids, _next_life)


def _next_life(lifecycle: str, data: Payload) -> str | Rejected:
    if lifecycle == ENDED:
        return Rejected(ReasonCode.DELETED, "this account or token has ended, and its name is not used again")
    if isinstance(data, _BEGINS) and lifecycle == LIVE:
        return Rejected(ReasonCode.EXISTS, "the name is taken")
    if not isinstance(data, _BEGINS) and lifecycle == ABSENT:
        return Rejected(ReasonCode.UNKNOWN, "there is no such account or token")
    return LIFE_AFTER[type(data)]
