"""What a guard can say of an event, and the part of the rule that is the same for every entity (DESIGN section 5).

Pure. A guard looks at one aggregate's own earlier events in partition order and at nothing else.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from schemas.envelope import Event
from schemas.registry import Payload

ABSENT: Final = ""
"""The lifecycle of an aggregate of which nothing was accepted yet."""


class ReasonCode(StrEnum):
    """Why an event was rejected, for programs. Codes are never renamed."""

    WRONG_VERSION = "wrong-version"
    """``ce_expectedversion`` is not the aggregate's version."""
    EXISTS = "exists"
    UNKNOWN = "unknown"
    """Nothing of this aggregate was accepted yet."""
    REMOVED = "removed"
    DELETED = "deleted"
    ILLEGAL = "illegal"
    """The aggregate is in a state that this cannot follow."""


class AggregateState(msgspec.Struct, frozen=True):
    """What a guard knows of an aggregate: how many of its events were accepted, and where it is in its life."""

    version: int = 0
    lifecycle: str = ABSENT


class Accepted(msgspec.Struct, frozen=True):
    """The event is legal; ``state`` is the aggregate's afterwards, its version that of this event."""

    state: AggregateState


class Rejected(msgspec.Struct, frozen=True):
    """The event is illegal: no fold sees it. ``reason`` is for people. Published again it is judged anew."""

    reason_code: ReasonCode
    reason: str


class Duplicate(msgspec.Struct, frozen=True):
    """The same (source, id) was accepted at offset ``of`` of this partition: a success that changes nothing."""

    of: int


Judgement = Accepted | Rejected | Duplicate
AcceptedIds = Mapping[tuple[str, str], int]
"""(source, id) of the aggregate's accepted events to their offsets."""
Decide = Callable[[AggregateState, Event, AcceptedIds], Judgement]
NextLife = Callable[[str, Payload], "str | Rejected"]
"""From a lifecycle and a payload to the lifecycle afterwards, or why not."""


def judge(state: AggregateState, event: Event, accepted_ids: AcceptedIds, next_life: NextLife) -> Judgement:
    """A repeat first, then the version that was expected, then the entity's own rule."""
    of = accepted_ids.get((event.source, event.id))
    if of is not None:
        return Duplicate(of)
    expected = event.expected_version
    if expected is not None and expected != state.version:
        return Rejected(
            ReasonCode.WRONG_VERSION,
            f"{event.type.name} expects version {expected} of {event.key}, which is at version {state.version}",
        )
    life = next_life(state.lifecycle, event.data)
    if isinstance(life, Rejected):
        return life
    return Accepted(AggregateState(state.version + 1, life))
