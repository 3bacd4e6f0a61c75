"""Orders about what projections put aside: which are said for which records, and what is refused at the edge."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from projections.catalogue import PROJECTIONS
from schemas.events import AggregatePlace, DropOrdered, RecordPlace, RedriveOrdered
from schemas.operations.events import MOST_AT_ONCE

NAMES: Final = tuple(one.name for one in PROJECTIONS)
Place = TypeVar("Place", AggregatePlace, RecordPlace)


def redrives(
    places: Mapping[str, Sequence[AggregatePlace]], *, ordered_by: str, reason: str, dry_run: bool
) -> list[RedriveOrdered]:
    """The orders by which these aggregates are redriven, of the size that one order may have."""
    return [
        RedriveOrdered(
            projection=name, aggregates=part, ordered_by=ordered_by, reason=reason, dry_run=dry_run
        )
        for name, found in sorted(places.items())
        for part in _parts(found)
    ]


def drops(places: Mapping[str, Sequence[RecordPlace]], *, ordered_by: str, reason: str) -> list[DropOrdered]:
    """The orders by which these records are left out for ever."""
    return [
        DropOrdered(projection=name, records=part, ordered_by=ordered_by, reason=reason)
        for name, found in sorted(places.items())
        for part in _parts(found)
    ]


def partitions_of(order: RedriveOrdered | DropOrdered) -> set[tuple[str, int]]:
    """The partitions that an order is about."""
    places: Iterable[AggregatePlace | RecordPlace] = (
        order.aggregates if isinstance(order, RedriveOrdered) else order.records
    )
    return {(one.topic, one.partition) for one in places}


def _parts(found: Sequence[Place]) -> list[list[Place]]:
    return [list(found[at : at + MOST_AT_ONCE]) for at in range(0, len(found), MOST_AT_ONCE)]
