"""What of the assigned partitions is in quarantine: asked for every batch, so it lives in memory beside the rows."""

from collections.abc import Iterable, Sequence
from typing import Final

from projections.runner.flood import Breaker
from projections.runner.isolation import Aggregate, aggregate_of
from schemas.envelope import Record


class Held:
    """The aggregates in quarantine on the partitions of one assignment. Read and written by the writer's thread alone."""

    def __init__(
        self, aggregates: dict[Aggregate, int] | None = None, breaker: Breaker | None = None
    ) -> None:
        self.aggregates: Final = aggregates if aggregates is not None else {}
        """To the offset of the event at fault."""
        self.breaker: Final = breaker if breaker is not None else Breaker()

    def meets(self, chunks: Iterable[Sequence[Record]]) -> bool:
        """Whether a record belongs to one of them. Costs nothing while there are none."""
        if not self.aggregates:
            return False
        return any(aggregate_of(record) in self.aggregates for chunk in chunks for record in chunk)
