"""What is told on ``millstream.operations``, with ids that a second telling repeats."""

from typing import Final

from projections.rebuild.store import Rebuild
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.ids import derived_event_id
from schemas.operations.events import GenerationSwapped, RebuildOrdered

SOURCE: Final = "//millstream/projector"


def ordered(rebuild: Rebuild) -> Event:
    """A rebuild was ordered."""
    return new_event(
        RebuildOrdered(
            projection=rebuild.projection,
            generation=rebuild.generation,
            until=rebuild.until,
            reason=rebuild.reason,
            ordered_by=rebuild.ordered_by,
        ),
        source=SOURCE,
        time=rebuild.ordered_at,
        event_id=derived_event_id(
            "operation.rebuild_ordered",
            rebuild.projection,
            rebuild.generation,
            rebuild.ordered_at.isoformat(),
        ),
    )


def swapped(rebuild: Rebuild) -> Event:
    """Readers were led to what a rebuild has filled."""
    return new_event(
        GenerationSwapped(
            projection=rebuild.projection,
            from_generation=rebuild.from_generation or 0,
            to_generation=rebuild.generation,
            differences=rebuild.different,
            ordered_by=rebuild.ordered_by,
        ),
        source=SOURCE,
        time=rebuild.updated_at,
        event_id=derived_event_id(
            "operation.generation_swapped",
            rebuild.projection,
            rebuild.generation,
            rebuild.ordered_at.isoformat(),
        ),
    )
