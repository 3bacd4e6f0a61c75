"""From definitions and repositories to plans and requests. Pure: what is known comes in, events go out.

Every id follows from what is planned, so that planning again after a crash says the same again, and both ways
to a pair of insight and repository (the insight came, the repository came) ask under one id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.events import (
    BackfillPlanned,
    IndexRange,
    Lane,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    RequestedSeries,
    SeriesDefinition,
)
from schemas.grid import Interval
from schemas.ids import derived_event_id
from streams.insights.scope import Repository, repositories_in_scope

MAX_PART_REPOSITORIES: Final = 20_000
MAX_REQUEST_BYTES: Final = 256 * 1024
NOMINAL_FILES: Final = 1_000
"""Files that a repository is taken to have until it was counted: costs are compared, not believed."""

Cells = Sequence[IndexRange]
"""Disjoint half-open ranges of grid indexes, ascending."""
Pair = tuple[str, int]
"""(series id, repository id)."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One insight as the planner sees it."""

    insight_id: int
    creator: str
    created_at: datetime
    frames: int
    series: tuple[SeriesDefinition, ...]


class Known(msgspec.Struct, frozen=True):
    """Cells by (series, repository): ``covered`` need no counting, ``planned`` have been announced."""

    covered: Mapping[Pair, Cells] = {}
    planned: Mapping[Pair, Cells] = {}


class Scope(msgspec.Struct, frozen=True):
    """Lines of one insight that are counted in the same repositories."""

    series: tuple[SeriesDefinition, ...]
    repositories: tuple[int, ...]


def scopes_of(definition: Definition, repositories: Sequence[Repository]) -> list[Scope]:
    """The insight's series grouped by equal sets of repositories; one series in two lines counts once."""
    grouped: dict[tuple[int, ...], dict[str, SeriesDefinition]] = {}
    for series in definition.series:
        chosen = repositories_in_scope(series, repositories)
        grouped.setdefault(chosen, {}).setdefault(series.series_id, series)
    return [Scope(tuple(lines.values()), chosen) for chosen, lines in grouped.items()]


def scopes_by_repository(scopes: Sequence[Scope]) -> dict[int, list[Scope]]:
    """The same turned round: for each repository one scope, with all series that count it."""
    lines: dict[int, list[SeriesDefinition]] = {}
    for scope in scopes:
        for repository_id in scope.repositories:
            lines.setdefault(repository_id, []).extend(scope.series)
    return {
        repository_id: [Scope(tuple(series), (repository_id,))] for repository_id, series in lines.items()
    }


def planned_cells(definition: Definition, series: SeriesDefinition) -> IndexRange:
    """The grid indexes of the series' backfill: the newest ones not after the insight's creation."""
    indexes = Interval(series.unit, series.value).newest(definition.frames, definition.created_at)
    return indexes.start, indexes.stop


def requests_of(
    definition: Definition, scopes: Sequence[Scope], covered: Mapping[Pair, Cells]
) -> Iterator[RecordingRequest]:
    """What has to be asked for: one request per repository, or several where it would be too large.

    Series stand in the order of the definition, however the pair was met. Which of them stand in which split
    does not depend on what is covered already, and the id follows from them: a plan made again after some
    results have come, or in which the repository has another scope, never gives a series another split's id.
    """
    by_repository: dict[int, set[str]] = {}
    for scope in scopes:
        lines = {series.series_id for series in scope.series}
        for repository_id in scope.repositories:
            by_repository.setdefault(repository_id, set()).update(lines)
    asked: dict[str, RequestedSeries] = {}
    for series in definition.series:
        if series.series_id not in asked:
            asked[series.series_id] = _requested(series, [planned_cells(definition, series)])
    sizes = {series_id: len(msgspec.json.encode(one)) for series_id, one in asked.items()}
    for repository_id, chosen in sorted(by_repository.items()):
        splits = _splits([one for series_id, one in asked.items() if series_id in chosen], sizes)
        for number, split in enumerate(splits, start=1):
            open_series = [
                left
                for one in split
                if (left := _without(one, covered.get((one.series_id, repository_id), ())))
            ]
            if open_series:
                request_id = request_id_of(
                    definition.insight_id, repository_id, [one.series_id for one in split]
                )
                yield _request(definition, repository_id, request_id, open_series, number, len(splits))


def request_id_of(insight_id: int, repository_id: int, series_ids: Sequence[str]) -> str:
    """Id of the first attempt's request; ``series_ids`` are all of its split, covered ones too, in order."""
    return derived_event_id("recording.requested", insight_id, repository_id, 1, *series_ids)


def plans_of(
    definition: Definition,
    scopes: Sequence[Scope],
    cause: PlanCause,
    waited_for: Sequence[str],
    max_repositories: int = MAX_PART_REPOSITORIES,
) -> list[BackfillPlanned]:
    """The plan in parts of at most ``max_repositories``. A plan without repositories is one empty part."""
    parts: list[list[PlannedScope]] = [[]]
    room = max_repositories
    for scope in scopes:
        lines = [_planned(definition, series) for series in scope.series]
        left = list(scope.repositories)
        while True:
            if room == 0:
                parts.append([])
                room = max_repositories
            taken, left = left[:room], left[room:]
            parts[-1].append(PlannedScope(series=lines, repositories=taken))
            room -= len(taken)
            if not left:
                break
    return [
        BackfillPlanned(
            insight_id=definition.insight_id,
            cause=cause,
            scopes=part,
            part=number,
            of=len(parts),
            waited_for=list(waited_for),
        )
        for number, part in enumerate(parts, start=1)
    ]


def plan_id(plan: BackfillPlanned, repository_id: int | None = None) -> str:
    """Id of the event; ``repository_id`` where the plan was made because that repository came."""
    subject = "" if repository_id is None else repository_id
    return derived_event_id("backfill.planned", plan.insight_id, plan.cause.value, subject, plan.part)


def is_announced(definition: Definition, scopes: Sequence[Scope], planned: Mapping[Pair, Cells]) -> bool:
    """Whether every cell of the scopes has been planned before (requests go out before plans: all is asked)."""
    return all(
        not _subtract([planned_cells(definition, series)], planned.get((series.series_id, repository_id), ()))
        for scope in scopes
        for series in scope.series
        for repository_id in scope.repositories
    )


def _request(
    definition: Definition,
    repository_id: int,
    request_id: str,
    series: list[RequestedSeries],
    split: int,
    of: int,
) -> RecordingRequest:
    frames = {
        (one.unit, one.value, index)
        for one in series
        for start, end in one.frames
        for index in range(start, end)
    }
    return RecordingRequest(
        request_id=request_id,
        repository_id=repository_id,
        insight_id=definition.insight_id,
        creator=definition.creator,
        lane=Lane.BACKFILL,
        series=series,
        cost=float(NOMINAL_FILES * len(frames)),
        split=split,
        of=of,
    )


def _requested(series: SeriesDefinition, frames: list[IndexRange]) -> RequestedSeries:
    return RequestedSeries(
        series_id=series.series_id,
        query=series.query,
        unit=series.unit,
        value=series.value,
        frames=frames,
        kind=series.kind,
        pattern_type=series.pattern_type,
    )


def _planned(definition: Definition, series: SeriesDefinition) -> PlannedSeries:
    first_index, end_index = planned_cells(definition, series)
    return PlannedSeries(
        series_id=series.series_id,
        unit=series.unit,
        value=series.value,
        first_index=first_index,
        end_index=end_index,
    )


def _splits(series: Sequence[RequestedSeries], sizes: Mapping[str, int]) -> list[list[RequestedSeries]]:
    splits: list[list[RequestedSeries]] = [[]]
    size_bytes = 0
    for one in series:
        if splits[-1] and size_bytes + sizes[one.series_id] > MAX_REQUEST_BYTES:
            splits.append([])
            size_bytes = 0
        splits[-1].append(one)
        size_bytes += sizes[one.series_id]
    return splits


def _without(series: RequestedSeries, covered: Cells) -> RequestedSeries | None:
    if not covered:
        return series
    left = _subtract(series.frames, covered)
    return msgspec.structs.replace(series, frames=left) if left else None


def _subtract(ranges: Iterable[IndexRange], taken: Cells) -> list[IndexRange]:
    left: list[IndexRange] = []
    for start, end in ranges:
        for taken_start, taken_end in sorted(taken):
            if taken_end <= start or taken_start >= end:
                continue
            if taken_start > start:
                left.append((start, taken_start))
            start = max(start, taken_end)
            if start >= end:
                break
        if start < end:
            left.append((start, end))
    return left
