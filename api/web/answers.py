"""GraphQL answers as they arrive, and their reading into what pages show (``model``)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from api.graphql.ids import repository_id_of
from api.reasons import Reasons
from api.web.backfill import Backfill
from api.web.drawing import Cells
from api.web.model import Cell, Freshness, Insight, Point, Progress, Repository, Series
from api.web.palette import style_of
from streams.repositories.location import mirror_path

_CLONE_PROBLEMS: Mapping[str, str] = {
    "path-missing": "the folder is missing",
    "not-a-repository": "no git repository",
    "clone-error": "it cannot be cloned",
    "timeout": "cloning took too long",
    "disk-full": "the disk is full",
    "invalid-url": "the address is wrong",
    "transport-refused": "this kind of address is not followed",
    "credentials-in-url": "credentials in the address",
}
"""Codes of ``repository.clone_failed`` in a few words."""


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class PageInfo(_Answer):
    end_cursor: str | None = None
    has_next_page: bool = False


class AsOf(_Answer):
    projection: str
    replayed_until: datetime | None = None
    applied_up_to: datetime | None = None
    behind: bool | None = None


class _Status(_Answer):
    is_loading_data: bool | None = None
    planned_cells: int = 0
    done_cells: int = 0
    failed_cells: int = 0


class _IncompletePoint(_Answer):
    date_time: datetime
    reasons: tuple[str, ...]


class _Snapshot(_Answer):
    date_time: datetime


class _DataSeries(_Answer):
    series_id: str
    label: str
    query: str
    times: list[datetime]
    values: list[float | None]
    complete: list[bool]
    incomplete_points: list[_IncompletePoint]
    status: _Status
    snapshot: _Snapshot | None = None


class _Colour(_Answer):
    series_id: str
    color: str


class _Presentation(_Answer):
    series_presentation: list[_Colour] = []


class _TimeScope(_Answer):
    unit: str
    value: int


class _Scope(_Answer):
    repositories: list[str] | None = None
    search: str | None = None
    all_repositories: bool = False


class View(_Answer):
    """A node of ``insightViews``; ``created_at`` is asked for where views are listed, the backfill's state where one is shown."""

    database_id: str = msgspec.field(name="databaseID")
    title: str
    description: str
    is_loading_data: bool
    data_series: list[_DataSeries]
    presentation: _Presentation
    time_scope: _TimeScope | None = None
    repository_definition: _Scope | None = None
    created_at: datetime | None = None
    backfill_queue_status: Backfill | None = None


class _Views(_Answer):
    nodes: list[View]
    as_of: list[AsOf]
    total_count: int | None = None
    page_info: PageInfo = msgspec.field(default_factory=PageInfo)


class _Total(_Answer):
    total_count: int | None = None


class InsightsAnswer(_Answer):
    """Of ``insights.graphql``."""

    insight_views: _Views
    repositories: _Total


class InsightAnswer(_Answer):
    """Of ``insight.graphql``."""

    insight_views: _Views


class _Mirror(_Answer):
    remote_url: str = msgspec.field(name="remoteURL")
    cloned: bool = False
    last_error: str | None = None
    shallow: bool = False


class _NamedRepository(_Answer):
    id: str
    name: str
    mirror_info: _Mirror


class _RepositoryPoint(_Answer):
    date_time: datetime
    value: float | None
    complete: bool
    reason: str | None
    commit: str | None


class _RepositoryPoints(_Answer):
    repository: _NamedRepository
    points: list[_RepositoryPoint]


class _SeriesCells(_Answer):
    series_id: str
    per_repository: list[_RepositoryPoints]


class _CellsView(_Answer):
    data_series: list[_SeriesCells]


class _CellsViews(_Answer):
    nodes: list[_CellsView]


class CellsAnswer(_Answer):
    """Of ``cells.graphql``."""

    insight_views: _CellsViews


class _Target(_Answer):
    oid: str


class _Branch(_Answer):
    display_name: str
    target: _Target


class _Repository(_Answer):
    id: str
    name: str
    mirror_info: _Mirror
    default_branch: _Branch | None = None


class _Repositories(_Answer):
    nodes: list[_Repository]
    as_of: list[AsOf]
    total_count: int | None = None
    page_info: PageInfo = msgspec.field(default_factory=PageInfo)


class RepositoriesAnswer(_Answer):
    """Of ``repositories.graphql``."""

    repositories: _Repositories


def freshness(as_of: Sequence[AsOf]) -> Freshness:
    """Of the projections that the answer was read from, in one snapshot: the slowest of those that are behind, or,
    when none is, the newest event."""
    late = [entry.applied_up_to for entry in as_of if entry.behind]
    known = [entry.applied_up_to for entry in as_of if entry.applied_up_to is not None]
    if late:
        times = [time for time in late if time is not None]
        return Freshness(min(times) if len(times) == len(late) else None, behind=True)
    return Freshness(max(known) if known else None)


def insight(view: View) -> Insight:
    """A view with its lines in the order of the definition."""
    colours = {entry.series_id: entry.color for entry in view.presentation.series_presentation}
    order = {series_id: position for position, series_id in enumerate(colours)}
    lines = sorted(view.data_series, key=lambda line: order.get(line.series_id, len(order)))
    backfill, failed = view.backfill_queue_status, sum(line.status.failed_cells for line in lines)
    scope = view.time_scope or _TimeScope("MONTH", 1)
    series = [_series(position, line, colours) for position, line in enumerate(lines)]
    return Insight(
        id=view.database_id,
        title=view.title,
        description=view.description,
        series=_at_one_time(series),
        loading=view.is_loading_data,
        progress=Progress(
            done=sum(line.status.done_cells for line in lines),
            planned=sum(line.status.planned_cells for line in lines),
        ),
        unit=scope.unit,
        step=scope.value,
        scope=_scope(view.repository_definition),
        backfill=None if backfill is None else backfill.without_what_was_mended(failed),
    )


def _series(position: int, line: _DataSeries, colours: Mapping[str, str]) -> Series:
    reasons = {
        point.date_time: tuple(Reasons.in_words(reason) for reason in point.reasons)
        for point in line.incomplete_points
    }
    points = [
        Point(
            time=time.astimezone(UTC),
            value=None if value is None else round(value),
            complete=complete,
            reasons=reasons.get(time, ()),
        )
        for time, value, complete in zip(line.times, line.values, line.complete, strict=True)
    ]
    now: Point | None = None
    if line.snapshot is not None and points and points[-1].time == line.snapshot.date_time:
        now = msgspec.structs.replace(points.pop(), counted_at=line.snapshot.date_time.astimezone(UTC))
    style = style_of(position, colours.get(line.series_id, ""))
    loading = bool(line.status.is_loading_data)
    return Series(line.series_id, line.label, line.query, style, tuple(points), loading, now)


def _at_one_time(lines: Sequence[Series]) -> tuple[Series, ...]:
    """The newest counts are of moments apart; drawn each at its own, they would be so many columns of one point."""
    times = [line.now.time for line in lines if line.now is not None]
    if not times:
        return tuple(lines)
    return tuple(
        line
        if line.now is None
        else msgspec.structs.replace(line, now=msgspec.structs.replace(line.now, time=max(times)))
        for line in lines
    )


def _scope(definition: _Scope | None) -> str:
    if definition is None:
        return ""
    if definition.repositories:
        names = definition.repositories
        return names[0] if len(names) == 1 else f"{len(names)} repositories"
    if definition.search and not definition.all_repositories:
        return definition.search
    return "all repositories"


def cells(answer: CellsAnswer, home: Path, shown: Insight) -> Cells:
    """Every cell by (series id, time of its point); repositories in the order of the answer. ``home`` holds the mirrors."""
    newest = {(line.id, line.now.counted_at): line.now.time for line in shown.series if line.now is not None}
    found: dict[tuple[str, datetime], list[Cell]] = {}
    for view in answer.insight_views.nodes:
        for line in view.data_series:
            for part in line.per_repository:
                location = _location(part.repository, home)
                for point in part.points:
                    time = point.date_time.astimezone(UTC)
                    place = (line.series_id, newest.get((line.series_id, time), time))
                    found.setdefault(place, []).append(_cell(part.repository, location, point))
    return found


def _location(repository: _NamedRepository, home: Path) -> str:
    """The folder of a clone on this machine, else the address of the repository."""
    remote = repository.mirror_info.remote_url
    if remote.startswith("/"):
        return remote
    mirror = mirror_path(home, repository_id_of(repository.id))
    return str(mirror) if mirror.is_dir() else remote


def _cell(repository: _NamedRepository, location: str, point: _RepositoryPoint) -> Cell:
    return Cell(
        repository=repository.name,
        location=location,
        commit=point.commit or "",
        value=None if point.value is None else round(point.value),
        complete=point.complete,
        reason=Reasons.in_words(point.reason) if point.reason else "",
        reason_code=point.reason or "",
    )


def repositories(nodes: Sequence[_Repository]) -> list[Repository]:
    """Rows of the list of repositories."""
    return [_repository(node) for node in nodes]


def _repository(node: _Repository) -> Repository:
    mirror, branch = node.mirror_info, node.default_branch
    code, separator, message = (mirror.last_error or "").partition(": ")
    if mirror.cloned:
        state = "ready" if branch else "empty"
    else:
        state = "failed" if mirror.last_error else "waiting"
    return Repository(
        id=node.id,
        name=node.name,
        state=state,
        problem=_CLONE_PROBLEMS.get(code, "it cannot be read") if mirror.last_error else "",
        error=message if separator else code,
        tip=branch.target.oid if branch else "",
        branch=branch.display_name if branch else "",
        url=mirror.remote_url,
        shallow=mirror.shallow,
    )
