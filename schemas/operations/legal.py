"""What operators may decide: every order that decodes. A repeat changes nothing, and ``ce_expectedversion`` holds."""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.judgement import AcceptedIds, AggregateState, Judgement, judge
from schemas.operations.events import DropOrdered, GenerationSwapped, RebuildOrdered, RedriveOrdered
from schemas.registry import Payload

LIVE: Final = "live"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {
    RedriveOrdered: LIVE,
    DropOrdered: LIVE,
    RebuildOrdered: LIVE,
    GenerationSwapped: LIVE,
}
"""Every guarded type, and where a projection is in its life afterwards."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge an operator's decision."""
    return judge(state, event, accepted_ids, lambda lifecycle, data: LIFE_AFTER[type(data)])
