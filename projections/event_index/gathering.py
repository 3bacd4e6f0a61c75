"""Rows of the index made as records are read: an event is let go of while it is at hand, and only its row is kept."""

from collections.abc import Sequence

from projections.event_index.fold import KeyedRow, in_order, keyed_rows
from projections.event_index.writer import write
from projections.folding import Folding
from projections.projection import Connection, Write


class IndexGatherer:
    """See ``projections.projection.Gatherer``. It relies on nothing that others could write."""

    def __init__(self) -> None:
        self._rows: list[KeyedRow] = []

    def add(self, events: Sequence[Folding]) -> None:
        """Make their rows."""
        self._rows += keyed_rows(events)

    def take(self) -> Write:
        """The rows since the last one, to be written later."""
        rows = in_order(self._rows)
        self._rows = []
        return lambda cursor: write(cursor, rows)

    def forget(self) -> None:
        """Nothing is known."""


def begin(_: Connection, __: bool) -> IndexGatherer:
    """For an assignment."""
    return IndexGatherer()
