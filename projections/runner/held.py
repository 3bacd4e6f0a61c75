"""What of the assigned partitions is in quarantine or dropped: asked for every batch, so it lives in memory beside the rows."""

from typing import Final

from projections.runner.flood import Breaker
from projections.runner.isolation import Aggregate, aggregate_of
from schemas.envelope import Position, Record


class Held:
    """The aggregates in quarantine on the partitions of one assignment. Read and written by the writer's thread alone."""

    def __init__(
        self,
        aggregates: dict[Aggregate, int] | None = None,
        breaker: Breaker | None = None,
        dropped: set[Position] | None = None,
    ) -> None:
        self.aggregates: Final = aggregates if aggregates is not None else {}
        """To the offset of the event at fault."""
        self.breaker: Final = breaker if breaker is not None else Breaker()

        self.dropped: Final = dropped if dropped is not None else set()
        """Records not read yet that operators ordered to be left out."""

    def __bool__(self) -> bool:
        """Whether there is anything that a batch could meet."""
        return bool(self.aggregates or self.dropped)

    def holds(self, record: Record) -> bool:
        """Whether the record belongs to an aggregate in quarantine, or is to be left out."""
        return aggregate_of(record) in self.aggregates or record.position in self.dropped
