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
    SnapshotTarget,
)
from schemas.grid import Interval
from schemas.ids import derived_event_id
from streams.insights.cells import Cells, Pair, subtract
from streams.insights.requests import NOMINAL_CHANGES, frames_cost, requested, size_bytes, splits
from streams.insights.scope import Repository, repositories_in_scope

MAX_PART_REPOSITORIES: Final = 20_000


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One insight as the planner sees it."""

    insight_id: int
    creator: str
    created_at: datetime
    frames: int
    series: tuple[SeriesDefinition, ...]


class Newest(msgspec.Struct, frozen=True):
    """The newest state of each repository that has one, and the offset of the push that each pair's snapshot shows."""

    targets: Mapping[int, SnapshotTarget] = {}
    counted: Mapping[Pair, int] = {}

    def wanted(self, series_id: str, repository_id: int) -> bool:
        """Whether the pair has no snapshot of that state."""
        target = self.targets.get(repository_id)
        return target is not None and self.counted.get((series_id, repository_id), -1) < target.pushed_offset


class Known(msgspec.Struct, frozen=True):
    """Cells by (series, repository): ``covered`` need no counting, ``planned`` have been announced."""

    covered: Mapping[Pair, Cells] = {}
    planned: Mapping[Pair, Cells] = {}
    newest: Newest = Newest()


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
    definition: Definition,
    scopes: Sequence[Scope],
    covered: Mapping[Pair, Cells],
    newest: Newest = Newest(),  # noqa: B008 - frozen
) -> Iterator[RecordingRequest]:
    """What has to be asked for: one request per repository, or several where it would be too large.

    The newest state is counted in the same pass, so that a chart has its last point from the start.

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
            asked[series.series_id] = requested(series, [planned_cells(definition, series)])
    sizes = {series_id: size_bytes(one) for series_id, one in asked.items()}
    for repository_id, chosen in sorted(by_repository.items()):
        together = splits([one for series_id, one in asked.items() if series_id in chosen], sizes)
        for number, split in enumerate(together, start=1):
            open_series = [
                left
                for one in split
                if (
                    left := _left(
                        one,
                        covered.get((one.series_id, repository_id), ()),
                        newest.wanted(one.series_id, repository_id),
                    )
                )
            ]
            if open_series:
                has_snapshot = any(one.snapshot for one in open_series)
                yield RecordingRequest(
                    request_id=request_id_of(
                        definition.insight_id, repository_id, [one.series_id for one in split]
                    ),
                    repository_id=repository_id,
                    insight_id=definition.insight_id,
                    creator=definition.creator,
                    lane=Lane.BACKFILL,
                    series=open_series,
                    cost=frames_cost(open_series) + has_snapshot * NOMINAL_CHANGES,
                    split=number,
                    of=len(together),
                    snapshot=newest.targets[repository_id] if has_snapshot else None,
                )


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
    planned = [
        PlannedScope(
            series=[_planned(definition, series) for series in scope.series],
            repositories=list(scope.repositories),
        )
        for scope in scopes
    ]
    return plan_parts(definition.insight_id, planned, cause, waited_for, max_repositories)


def plan_parts(
    insight_id: int,
    scopes: Iterable[PlannedScope],
    cause: PlanCause,
    waited_for: Sequence[str],
    max_repositories: int = MAX_PART_REPOSITORIES,
) -> list[BackfillPlanned]:
    """``scopes`` in events of at most ``max_repositories`` each; one empty part where there are none."""
    parts: list[list[PlannedScope]] = [[]]
    room = max_repositories
    for scope in scopes:
        left = scope.repositories
        while True:
            if room == 0:
                parts.append([])
                room = max_repositories
            taken, left = left[:room], left[room:]
            parts[-1].append(PlannedScope(series=scope.series, repositories=taken))
            room -= len(taken)
            if not left:
                break
    return [
        BackfillPlanned(
            insight_id=insight_id,
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
        not subtract([planned_cells(definition, series)], planned.get((series.series_id, repository_id), ()))
        for scope in scopes
        for series in scope.series
        for repository_id in scope.repositories
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


def _left(series: RequestedSeries, covered: Cells, snapshot: bool) -> RequestedSeries | None:
    """What is still to be counted of it; None when that is nothing."""
    frames = subtract(series.frames, covered)
    if not frames and not snapshot:
        return None
    return msgspec.structs.replace(series, frames=frames, snapshot=snapshot)
