"""``InsightsSeries``: points, columns, status, and the same by repository."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from ariadne import InterfaceType, ObjectType

from api.graphql.lines import (
    NOTHING,
    Line,
    Newest,
    frames_of_cells,
    frames_of_columns,
    lines_of,
    reason_of,
    shown,
    with_newest,
)
from api.graphql.operation import Operation
from api.graphql.scalars import rfc3339
from api.graphql.series_ids import shown_series_id
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import ViewSource, definitions, view_type
from projections.repositories.queries import Repository
from projections.series_points.columns import NOT_COUNTED
from projections.series_points.queries import RepositoryCell, newest_of
from schemas.events import SeriesDefinition, SeriesKind
from schemas.grid import Interval
from schemas.topics import Topic
from streams.search import regex

series_type = ObjectType("InsightsSeries")
snapshot_type = ObjectType("InsightsSeriesSnapshot")
status_type = ObjectType("InsightSeriesStatus")
alert_type = InterfaceType("IncompleteDatapointAlert")
alert_repositories = ObjectType("GenericIncompleteDatapointAlert")
timeout_repositories = ObjectType("TimeoutDatapointAlert")

_TIMEOUT = "timeout"


class SeriesSource(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightsSeries``."""

    view: ViewSource
    line: Line


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightDataPoint``."""

    date_time: datetime
    value: float
    complete: bool
    diff_query: str
    point_in_time_query: str


class IncompletePoint(msgspec.Struct, frozen=True, kw_only=True):
    date_time: datetime
    value: float | None
    reasons: Sequence[str]


class RepositoryPoint(msgspec.Struct, frozen=True, kw_only=True):
    date_time: datetime
    value: float | None
    complete: bool
    reason: str | None
    commit: str | None


class RepositoryPoints(msgspec.Struct, frozen=True, kw_only=True):
    repository: Repository
    points: list[RepositoryPoint]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """``IncompleteDatapointAlert``."""

    time: datetime
    reason: str
    series: SeriesSource


@view_type.field("dataSeries")
def resolve_data_series(view: ViewSource, info: Info) -> list[SeriesSource]:
    operation = operation_of(info)
    lines = [line for one in definitions(operation, view) for line in _lines(operation, view, one)]
    return [SeriesSource(view=view, line=line) for line in shown(lines, view.chosen.display)]


@view_type.field("isLoadingData")
def resolve_view_loading(view: ViewSource, info: Info) -> bool:
    operation = operation_of(info)
    return any(_loading(operation, view, one) for one in definitions(operation, view))


@series_type.field("seriesId")
def resolve_series_id(series: SeriesSource, info: Info) -> str:
    return shown_series_id(operation_of(info), series.line.definition, series.line.capture)


@series_type.field("label")
def resolve_label(series: SeriesSource, _: Info) -> str:
    return series.line.label


@series_type.field("query")
def resolve_query(series: SeriesSource, _: Info) -> str:
    return series.line.definition.query


@series_type.field("times")
def resolve_times(series: SeriesSource, _: Info) -> Sequence[datetime]:
    return series.line.times


@series_type.field("values")
def resolve_values(series: SeriesSource, _: Info) -> Sequence[float | None]:
    return series.line.values


@series_type.field("complete")
def resolve_complete(series: SeriesSource, _: Info) -> list[bool]:
    return [not reasons for reasons in series.line.reasons]


@series_type.field("points")
def resolve_points(series: SeriesSource, info: Info, **_: object) -> list[Point]:
    line, scope = series.line, _scope_text(operation_of(info), series)
    points, before = [], None
    for time, value, reasons in zip(line.times, line.values, line.reasons, strict=True):
        if value is not None:
            points.append(
                Point(
                    date_time=time,
                    value=value,
                    complete=not reasons,
                    diff_query=_diff_query(scope, line, before, time),
                    point_in_time_query=f"{scope}rev:at.time({rfc3339(time)}) {line.definition.query}",
                )
            )
        before = time
    return points


@series_type.field("incompletePoints")
def resolve_incomplete(series: SeriesSource, _: Info) -> list[IncompletePoint]:
    line = series.line
    return [
        IncompletePoint(date_time=time, value=value, reasons=reasons)
        for time, value, reasons in zip(line.times, line.values, line.reasons, strict=True)
        if reasons
    ]


@series_type.field("snapshot")
def resolve_snapshot(series: SeriesSource, _: Info) -> Newest | None:
    return series.line.snapshot


@snapshot_type.field("dateTime")
def resolve_snapshot_time(snapshot: Newest, _: Info) -> datetime:
    return snapshot.time


@snapshot_type.field("isIncomplete")
def resolve_snapshot_incomplete(snapshot: Newest, _: Info) -> bool:
    return bool(snapshot.reasons)


@series_type.field("perRepository")
def resolve_per_repository(
    series: SeriesSource, info: Info, time: datetime | None = None
) -> list[RepositoryPoints]:
    operation, line = operation_of(info), series.line
    by_repository: dict[int, list[RepositoryPoint]] = {}
    newest = line.snapshot
    if newest is not None and newest.time in line.times and time in (None, newest.time):
        for repository_id, point in _newest_points(operation, line, newest):
            by_repository.setdefault(repository_id, []).append(point)
    if newest is not None and time == newest.time and by_repository:
        wanted: set[datetime] = set()
    else:
        interval = _interval(line.definition)
        wanted = set(line.times) if time is None else {interval.instant(interval.index_at(time))}
    for cell in _cells(operation, line):
        if cell.time in wanted:
            by_repository.setdefault(cell.repository_id, []).append(_point(line, cell))
    operation.reads.repositories.announce(by_repository)
    answers = [
        RepositoryPoints(repository=repository, points=sorted(points, key=lambda point: point.date_time))
        for repository_id, points in by_repository.items()
        if (repository := operation.reads.repositories.get(repository_id)) is not None
    ]
    return sorted(answers, key=lambda answer: (answer.repository.name, answer.repository.id))


@series_type.field("status")
def resolve_status(series: SeriesSource, _: Info) -> SeriesSource:
    return series


@status_type.field("totalPoints")
def resolve_total_points(series: SeriesSource, _: Info) -> int:
    return series.line.cells.done - series.line.cells.failed


@status_type.field("plannedCells")
def resolve_planned(series: SeriesSource, _: Info) -> int:
    return series.line.cells.planned


@status_type.field("doneCells")
def resolve_done(series: SeriesSource, _: Info) -> int:
    return series.line.cells.done


@status_type.field("openCells")
def resolve_open(series: SeriesSource, _: Info) -> int:
    return series.line.cells.open


@status_type.field("failedCells")
def resolve_failed(series: SeriesSource, _: Info) -> int:
    return series.line.cells.failed


@status_type.field("pendingJobs")
def resolve_pending_jobs(series: SeriesSource, info: Info) -> int:
    found = operation_of(info).reads.jobs.get(series.line.insight_id)
    return found.pending if found else 0


@status_type.field("completedJobs")
def resolve_completed_jobs(series: SeriesSource, info: Info) -> int:
    found = operation_of(info).reads.jobs.get(series.line.insight_id)
    return found.completed if found else 0


@status_type.field("failedJobs")
def resolve_failed_jobs(series: SeriesSource, info: Info) -> int:
    found = operation_of(info).reads.jobs.get(series.line.insight_id)
    return found.failed if found else 0


@status_type.field("backfillQueuedAt")
def resolve_queued_at(series: SeriesSource, _: Info) -> datetime | None:
    return series.view.row.planned_at


@status_type.field("isLoadingData")
def resolve_loading(series: SeriesSource, info: Info) -> bool:
    return _loading(operation_of(info), series.view, series.line.definition)


@status_type.field("incompleteDatapoints")
def resolve_alerts(series: SeriesSource, _: Info) -> list[Alert]:
    """What went wrong; what is merely awaited is no alert, as in the reference."""
    line = series.line
    return [
        Alert(time=time, reason=reason, series=series)
        for time, reasons in zip(line.times, line.reasons, strict=True)
        for reason in reasons
        if reason != NOT_COUNTED
    ]


@alert_type.type_resolver
def alert_kind(alert: Alert, *_: object) -> str:
    return "TimeoutDatapointAlert" if alert.reason == _TIMEOUT else "GenericIncompleteDatapointAlert"


@alert_repositories.field("repositories")
@timeout_repositories.field("repositories")
def resolve_alert_repositories(alert: Alert, info: Info) -> list[Repository]:
    operation = operation_of(info)
    affected = {
        cell.repository_id
        for cell in _cells(operation, alert.series.line)
        if cell.time == alert.time and reason_of(cell) == alert.reason
    }
    newest = alert.series.line.snapshot
    if newest is not None and newest.time == alert.time:
        affected |= {
            repository_id
            for repository_id, point in _newest_points(operation, alert.series.line, newest)
            if point.reason == alert.reason
        }
    return operation.reads.repositories.of(sorted(affected))


def _lines(operation: Operation, view: ViewSource, one: SeriesDefinition) -> list[Line]:
    reads, chosen = operation.reads, view.chosen
    if chosen.repositories is not None:
        cells = reads.cells.get(one.series_id) or []
        planned = {cell.repository_id for cell in cells if cell.repository_id in chosen.repositories}
        newest = newest_of(reads.snapshots.get(one.series_id) or {}, planned - reads.removed)
        frames = with_newest(frames_of_cells(cells, chosen.repositories), newest)
        return lines_of(view.row.id, one, frames, chosen.repositories)
    columns = operation.reads.columns.get(one.series_id)
    captures = reads.captures.get(one.series_id) if one.kind is SeriesKind.CAPTURE else None
    frames = NOTHING if columns is None else frames_of_columns(columns, captures or {})
    return lines_of(view.row.id, one, with_newest(frames, reads.newest.get(one.series_id)))


def _loading(operation: Operation, view: ViewSource, one: SeriesDefinition) -> bool:
    """Not planned yet, or planned and not all counted in the repositories that are still followed.

    Two projections fold the plan. Where ``insights`` has it and ``series_points`` is still behind on that topic, the
    empty columns of this snapshot say nothing yet.
    """
    columns = operation.reads.columns.get(one.series_id)
    if not view.row.planned:
        return True
    if columns is not None:
        return columns.open_cells > 0
    return _applied(operation, "series_points") < _applied(operation, "insights")


def _applied(operation: Operation, projection: str) -> int:
    positions = operation.reads.snapshot.applied.get(projection, ())
    return sum(position.next_offset for position in positions if position.topic == Topic.INSIGHTS)


def _newest_points(operation: Operation, line: Line, newest: Newest) -> Iterator[tuple[int, RepositoryPoint]]:
    """The snapshot of a line, repository by repository."""
    reads = operation.reads
    for repository_id, row in sorted((reads.snapshots.get(line.definition.series_id) or {}).items()):
        if repository_id in reads.removed or (
            line.repositories is not None and repository_id not in line.repositories
        ):
            continue
        value = row.value if line.capture is None else (row.captures or {}).get(line.capture, 0)
        yield (
            repository_id,
            RepositoryPoint(
                date_time=newest.time,
                value=float(value),
                complete=row.reason is None,
                reason=row.reason,
                commit=row.commit,
            ),
        )


def _cells(operation: Operation, line: Line) -> list[RepositoryCell]:
    found = operation.reads.cells.get(line.definition.series_id) or []
    if line.repositories is None:
        return found
    return [cell for cell in found if cell.repository_id in line.repositories]


def _point(line: Line, cell: RepositoryCell) -> RepositoryPoint:
    value = cell.value
    if line.capture is not None and value is not None:
        value = cell.captures.get(line.capture, 0.0)
    reason = reason_of(cell)
    return RepositoryPoint(
        date_time=cell.time, value=value, complete=not reason, reason=reason or None, commit=cell.commit
    )


def _interval(one: SeriesDefinition) -> Interval:
    return Interval(one.unit, one.value)


def _scope_text(operation: Operation, series: SeriesSource) -> str:
    """The part of a drill-down query that says which repositories, with a space behind it."""
    parts, one, filters = [], series.line.definition, series.view.chosen.filters
    if filters.include is not None:
        parts.append(f"repo:{filters.include}")
    if filters.exclude is not None:
        parts.append(f"-repo:{filters.exclude}")
    if one.repositories is not None:
        names = sorted(found.name for found in operation.reads.repositories.of(one.repositories))
        parts.append(f"repo:^({'|'.join(regex.quote(name) for name in names)})$")
    if one.criteria is not None:
        parts.append(f"({one.criteria})" if " or " in one.criteria.lower() else one.criteria)
    return "".join(f"{part} " for part in parts)


def _diff_query(scope: str, line: Line, before: datetime | None, time: datetime) -> str:
    after = f"after:{rfc3339(before)} " if before is not None else ""
    return f"{scope}{after}before:{rfc3339(time)} type:diff {line.definition.query}"


bindables = [series_type, snapshot_type, status_type, alert_type, alert_repositories, timeout_repositories]
