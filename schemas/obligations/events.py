"""Events about obligations; they stand on the topic, and under the key, of the event that opened one (DESIGN 6)."""

from typing import Annotated

import msgspec

from schemas.limits import MAX_MESSAGE_BYTES, Code, Message, check_bytes
from schemas.registry import Audience, Payload, SafeId, event
from schemas.topics import Topic

OPENING_TOPICS = (Topic.INSIGHTS, Topic.REPOSITORIES, Topic.RECORDINGS, Topic.TRIGGERS)
Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""What is owed for: an insight's id, a request's id, the id of a push."""


@event(
    "millstream.obligation.renewed",
    topics=OPENING_TOPICS,
    key=lambda data: data.aggregate_id,
    audience=Audience.INTERNAL,
)
class ObligationRenewed(Payload, frozen=True, kw_only=True):
    """What was owed for ``subject`` did not come in time: the agent does it again. ``attempt`` counts from 2.

    ``aggregate_id`` is the record key of the event that opened the obligation.
    """

    obligation: Code
    aggregate_id: SafeId
    subject: Subject
    attempt: Annotated[int, msgspec.Meta(ge=2, le=65_535)]


@event(
    "millstream.obligation.failed",
    topics=OPENING_TOPICS,
    key=lambda data: data.aggregate_id,
    audience=Audience.INTERNAL,
)
class ObligationFailed(Payload, frozen=True, kw_only=True):
    """After ``attempts`` attempts nothing is tried any more; ``reason`` is a code, ``message`` for people."""

    obligation: Code
    aggregate_id: SafeId
    subject: Subject
    attempts: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    reason: Code
    message: Message

    def __post_init__(self) -> None:
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)
