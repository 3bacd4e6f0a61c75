"""``asOf``: how far the projections were in the snapshot that answered."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from ariadne import QueryType

from api.commands.errors import InputRefused
from api.graphql.operation import ALL_PROJECTIONS, Operation
from api.graphql.types.info import Info, operation_of
from projections.chosen import ChosenGeneration

query = QueryType()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """``AppliedPosition``."""

    topic: str
    partition: int
    next_offset: str
    append_time: datetime | None


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """``AsOf``."""

    projection: str
    generation: int
    replayed_until: datetime | None
    applied_up_to: datetime | None
    behind: bool | None
    positions: list[Applied]


def as_of(operation: Operation, projections: Collection[str]) -> list[AsOf]:
    """How far each of ``projections`` is in this snapshot."""
    snapshot = operation.reads.snapshot
    fresh = snapshot.freshness()
    answers = []
    for name in sorted(projections):
        positions = snapshot.applied.get(name, ())
        generation = snapshot.generations[name]
        answers.append(
            AsOf(
                projection=name,
                generation=generation.number,
                replayed_until=generation.until if isinstance(generation, ChosenGeneration) else None,
                applied_up_to=fresh[name].applied_up_to,
                behind=fresh[name].behind,
                positions=[
                    Applied(
                        topic=position.topic,
                        partition=position.partition,
                        next_offset=str(position.next_offset),
                        append_time=position.append_time,
                    )
                    for position in positions
                ],
            )
        )
    return answers


@query.field("asOf")
def resolve_as_of(
    _: object, info: Info, projections: list[str] | None = None, min_position: list[str] | None = None
) -> list[AsOf]:
    wanted = ALL_PROJECTIONS if projections is None else set(projections)
    unknown = sorted(wanted - ALL_PROJECTIONS)
    if unknown:
        raise InputRefused(
            "projections",
            f"there is no projection {unknown[0]!r}",
            remedy="One of " + ", ".join(sorted(ALL_PROJECTIONS)),
        )
    return as_of(operation_of(info), wanted)


bindables = [query]
