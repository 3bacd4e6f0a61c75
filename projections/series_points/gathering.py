"""Results folded as they are read, for the one worker that fills tables in which nothing was counted when it began.

What a plain result of a new key says becomes columns at once, and the event is let go of while it is at hand: a batch of some thousand
events, with dozens of small objects each, costs more to keep and to free than to read. All else waits for the end of the batch.
"""

from collections.abc import Callable, Sequence

import msgspec

from projections.folding import Folding
from projections.projection import Connection, Cursor, Write
from projections.series_points.fold import fold
from projections.series_points.outcomes import is_plain
from projections.series_points.untouched import Untouched
from projections.series_points.writer import ANYTHING_COUNTED, Fresh, write, write_fresh
from schemas.events import SearchCompleted


class PointsGatherer:
    """See ``projections.projection.Gatherer``. ``clears``: rows of outranked cells are removed at once."""

    def __init__(self, untouched: Untouched, *, clears: bool = True) -> None:
        self._untouched = untouched
        self._clears = clears
        # Here: numpy takes its time, and few need it.
        from projections.series_points.plain_rows import PlainRows

        self._new: Callable[[], PlainRows] = PlainRows
        self._plain = PlainRows()
        self._others: list[Folding] = []
        self._waiting: set[int] = set()
        """Hashes of keys in ``others``: what follows for these waits behind them."""

    def add(self, events: Sequence[Folding]) -> None:
        """Fold what can be folded now."""
        claims, waiting = self._untouched.claims, self._waiting
        for folding in events:
            data = folding.event.data
            if not isinstance(data, SearchCompleted):
                self._others.append(folding)
                continue
            series, repository_id = data.series, data.repository_id
            hashes: Sequence[int]
            if len(series) == 1:  # nearly always, and then quicker without loops
                hashes = (hash((series[0].series_id, repository_id)),)
                plain = data.snapshot is None and is_plain(data, series[0])
            else:
                hashes = [hash((result.series_id, repository_id)) for result in series]
                plain = data.snapshot is None and all(is_plain(data, result) for result in series)
            if plain and waiting.isdisjoint(hashes) and claims(hashes):
                for result in series:
                    self._plain.add(data, result)
            else:
                self._others.append(folding)
                waiting.update(hashes)

    def take(self) -> Write:
        """What was added since the last one, to be written later."""
        plain, self._plain = self._plain, self._new()
        others, self._others = self._others, []
        self._waiting.clear()
        rows = plain.rows
        covered, points = plain.take()
        changes = fold(others)
        untouched, known = self._untouched.split(changes.keys)
        fresh = (Fresh(covered, points, (), rows), Fresh.of(untouched))
        changes = msgspec.structs.replace(changes, keys=known)

        def written(cursor: Cursor) -> int:
            rows = sum([write_fresh(cursor, one) for one in fresh])
            return rows + write(cursor, changes, clears=self._clears)

        return written

    def forget(self) -> None:
        """Somebody may write without telling."""
        self._untouched.forget()


def begin(connection: Connection, _: bool = False) -> PointsGatherer | None:
    """Behind a claim; None where something was counted already."""
    counted = connection.execute(ANYTHING_COUNTED).fetchone()
    return PointsGatherer(Untouched()) if counted == (False,) else None
