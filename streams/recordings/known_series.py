"""Whether a request asks for the series as they are: anybody may ask, and two grids have no common points.

A series that the insights projection does not know may be on its way: its request is held until that projection has
passed the end of the insights' topic, as read after the request was seen. Then it is refused.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from projections.insights import queries as insights
from projections.insights.queries import SeriesFacts
from projections.reading import AppliedPosition
from projections.recordings.queries import Waiting
from schemas.events import RequestedSeries
from streams.projected import Vector
from streams.recordings.dispatch import RequestKey, key_of


class Sorted(msgspec.Struct, frozen=True):
    """``good`` ask for the series as they are, ``wrong`` never will; ``held`` are seen for the first time."""

    good: list[Waiting]
    wrong: list[Waiting]
    held: list[RequestKey]


class KnownSeries:
    """Remembers what is held, and for which ends."""

    def __init__(self) -> None:
        self._held: dict[RequestKey, Vector] = {}

    def sort(
        self, connection: Connection, waiting: Sequence[Waiting], applied: Iterable[AppliedPosition]
    ) -> Sorted:
        """Compare ``waiting`` with the definitions; ``applied`` is how far these are folded."""
        asked = {series.series_id for one in waiting for series in one.request.series}
        facts = insights.facts_of(connection, asked)
        passed = {(at.topic, at.partition): at.next_offset for at in applied}
        found = Sorted([], [], [])
        for one in waiting:
            key = key_of(one.request)
            if all(facts.get(series.series_id) == _facts(series) for series in one.request.series):
                self._held.pop(key, None)
                found.good.append(one)
            elif any(
                series.series_id in facts and facts[series.series_id] != _facts(series)
                for series in one.request.series
            ) or _is_passed(self._held.get(key), passed):
                self._held.pop(key, None)
                found.wrong.append(one)
            elif key not in self._held:
                found.held.append(key)
        return found

    def hold(self, keys: Iterable[RequestKey], ends: Vector) -> None:
        """Keep ``keys`` until the definitions are folded up to ``ends``, which were read after these were seen."""
        self._held.update(dict.fromkeys(keys, ends))

    def waiting_for(self, applied: Iterable[AppliedPosition]) -> set[RequestKey]:
        """What is still held: not to be picked."""
        passed = {(at.topic, at.partition): at.next_offset for at in applied}
        return {key for key, ends in self._held.items() if not _is_passed(ends, passed)}

    def forget(self) -> None:
        self._held.clear()


def _facts(series: RequestedSeries) -> SeriesFacts:
    return SeriesFacts(series.query, series.unit, series.value, series.kind, series.pattern_type)


def _is_passed(ends: Vector | None, passed: Mapping[tuple[str, int], int]) -> bool:
    return ends is not None and all(passed.get(place, 0) >= end for place, end in ends.items())
