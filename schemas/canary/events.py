"""Events on ``millstream.canary``: sent on a timer, and timed from the call of publish to the row that readers see."""

from typing import Annotated

import msgspec

from schemas.limits import Creator
from schemas.registry import Audience, Payload, event
from schemas.topics import Topic


@event(
    "millstream.canary.sent",
    topics=(Topic.CANARY,),
    key=lambda data: "canary",
    audience=Audience.INTERNAL,
)
class CanarySent(Payload, frozen=True, kw_only=True):
    """Nothing happened: somebody looks how long it takes until that is known."""

    sequence: Annotated[int, msgspec.Meta(ge=0)]
    sent_by: Creator
