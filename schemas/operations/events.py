"""Events on ``millstream.operations``: operators' decisions, so that who did what, when and why stands on the log."""

from typing import Annotated

import msgspec

from schemas.limits import Creator, Message
from schemas.registry import Audience, Instant, Offset, Part, Payload, event
from schemas.topics import Topic

MOST_AT_ONCE = 1_000
"""Aggregates or records that one order may name; more become several orders."""

ProjectionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$(?!\n)")]
Reason = Annotated[Message, msgspec.Meta(min_length=1)]
Generation = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
"""The number of a generation; 0 where there was none."""
TopicName = Annotated[str, msgspec.Meta(min_length=1, max_length=249)]
PartitionNumber = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class AggregatePlace(Part, frozen=True, kw_only=True):
    """An aggregate by the record key that fixes its order."""

    topic: TopicName
    partition: PartitionNumber
    aggregate: Annotated[str, msgspec.Meta(max_length=1_024)]


class RecordPlace(Part, frozen=True, kw_only=True):
    """One record of the log."""

    topic: TopicName
    partition: PartitionNumber
    offset: Offset


@event(
    "millstream.operation.redrive_ordered",
    topics=(Topic.OPERATIONS,),
    key=lambda data: data.projection,
    audience=Audience.INTERNAL,
    guarded=True,
)
class RedriveOrdered(Payload, frozen=True, kw_only=True):
    """A projection is to fold the queued events of these aggregates again, in their order."""

    projection: ProjectionName
    aggregates: Annotated[list[AggregatePlace], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)]
    dry_run: bool = False
    """Only to say what would happen: everything is folded in a transaction that is taken back."""
    reason: Message = ""
    ordered_by: Creator


@event(
    "millstream.operation.drop_ordered",
    topics=(Topic.OPERATIONS,),
    key=lambda data: data.projection,
    audience=Audience.INTERNAL,
    guarded=True,
)
class DropOrdered(Payload, frozen=True, kw_only=True):
    """A projection is to leave these records out for ever: dead letters, or events in quarantine."""

    projection: ProjectionName
    records: Annotated[list[RecordPlace], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)]
    reason: Reason
    ordered_by: Creator


@event(
    "millstream.operation.rebuild_ordered",
    topics=(Topic.OPERATIONS,),
    key=lambda data: data.projection,
    audience=Audience.INTERNAL,
    guarded=True,
)
class RebuildOrdered(Payload, frozen=True, kw_only=True):
    """A projection is filled anew as this generation; ``until`` (append time) where it is not to reach the present."""

    projection: ProjectionName
    generation: Generation
    until: Instant | None = None
    reason: Message = ""
    ordered_by: Creator


@event(
    "millstream.operation.generation_swapped",
    topics=(Topic.OPERATIONS,),
    key=lambda data: data.projection,
    audience=Audience.INTERNAL,
    guarded=True,
)
class GenerationSwapped(Payload, frozen=True, kw_only=True):
    """Readers were led from one generation to another.

    ``differences`` is the number of rows in which they differed and that were accepted; ``rolled_back`` says that the
    newer one was left for the older.
    """

    projection: ProjectionName
    from_generation: Generation
    to_generation: Generation
    differences: Annotated[int, msgspec.Meta(ge=0)] = 0
    rolled_back: bool = False
    reason: Message = ""
    ordered_by: Creator
