"""From what is planned and not counted to requests that ask again. Pure.

Ids follow from the event that asked for the retry, so that planning it twice says the same, and no earlier outcome (a
cancellation) is taken for the new request's.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from schemas.events import IndexRange, Lane, PlanCause, RecordingRequest, RequestedSeries, SeriesDefinition
from schemas.ids import derived_event_id
from streams.insights.cells import Pair, subtract
from streams.insights.plan import Definition, Known
from streams.insights.requests import NOMINAL_CHANGES, frames_cost, requested, splits


def retried_requests(
    definition: Definition, known: Known, retry_id: str, followed: Collection[int], busy: Collection[int]
) -> Iterator[RecordingRequest]:
    """Cells of the insight's series that are planned and not covered, and newest states that are not counted.

    ``followed`` are the repositories there are; ``busy`` those in which a request of this insight waits or runs.
    """
    lines = {series.series_id: series for series in definition.series}
    by_repository = _open_cells(lines, known)
    for repository_id in sorted(by_repository.keys() & set(followed) - set(busy)):
        asked = _asked(lines, by_repository[repository_id], known, repository_id)
        together = splits(asked) if asked else []
        for number, split in enumerate(together, start=1):
            has_snapshot = any(one.snapshot for one in split)
            yield RecordingRequest(
                request_id=derived_event_id(
                    "recording.requested",
                    definition.insight_id,
                    repository_id,
                    retry_id,
                    *(one.series_id for one in split),
                ),
                repository_id=repository_id,
                insight_id=definition.insight_id,
                creator=definition.creator,
                lane=Lane.BACKFILL,
                series=split,
                cost=frames_cost(split) + has_snapshot * NOMINAL_CHANGES,
                split=number,
                of=len(together),
                snapshot=known.newest.targets[repository_id] if has_snapshot else None,
            )


def retried_plan_id(insight_id: int, retry_id: str) -> str:
    """Id of the plan that answers a retry."""
    return derived_event_id("backfill.planned", insight_id, PlanCause.BACKFILL_RETRIED.value, retry_id, 1)


def _open_cells(
    lines: Mapping[str, SeriesDefinition], known: Known
) -> dict[int, dict[str, list[IndexRange]]]:
    """By repository and series, for every pair that is planned."""
    found: dict[int, dict[str, list[IndexRange]]] = {}
    for (series_id, repository_id), planned in known.planned.items():
        if series_id in lines and planned:
            covered = known.covered.get((series_id, repository_id), ())
            found.setdefault(repository_id, {})[series_id] = subtract(planned, covered)
    return found


def _asked(
    lines: Mapping[str, SeriesDefinition],
    cells: Mapping[str, list[IndexRange]],
    known: Known,
    repository_id: int,
) -> list[RequestedSeries]:
    """In the order of the definition, each series once."""
    found: list[RequestedSeries] = []
    for series_id, series in lines.items():
        pair: Pair = (series_id, repository_id)
        if series_id not in cells:
            continue
        snapshot = known.newest.wanted(*pair)
        if cells[series_id] or snapshot:
            one = requested(series, cells[series_id])
            found.append(msgspec.structs.replace(one, snapshot=snapshot))
    return found
