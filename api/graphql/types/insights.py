"""``InsightView`` and its connection."""

from collections.abc import Sequence

import msgspec
from ariadne import ObjectType, QueryType

from api.commands.errors import InputRefused
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.lines import DisplayOptions
from api.graphql.operation import ALL_PROJECTIONS, Operation
from api.graphql.types.freshness import AsOf, as_of
from api.graphql.types.info import Info, operation_of
from api.graphql.types.repositories import PageInfo
from api.graphql.types.selection import Chosen, Filters, chosen_of, display_options, filters_of
from projections.insights import queries
from projections.insights.queries import View
from schemas.events import SeriesDefinition

query = QueryType()
view_type = ObjectType("InsightView")
connection_type = ObjectType("InsightViewConnection")

_CURSOR = "insightViews"
_MAXIMUM = 1000


class ViewSource(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightView``: the row, and what the request chose to see of it."""

    row: View
    chosen: Chosen


class ViewPage(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightViewConnection``; the rest is what ``totalCount`` counts."""

    nodes: Sequence[ViewSource]
    page_info: PageInfo
    only: Sequence[int] | None
    find: str | None
    excluded: Sequence[int]
    empty: bool


class Dashboards(msgspec.Struct, frozen=True):
    """``InsightsDashboardConnection``: there are none."""

    nodes: tuple[()] = ()
    page_info: PageInfo = PageInfo()


@query.field("insightViews")
def resolve_insight_views(
    _: object,
    info: Info,
    first: int | None = None,
    after: str | None = None,
    id: str | None = None,  # noqa: A002 - the reference's name
    exclude_ids: list[str] | None = None,
    find: str | None = None,
    is_frozen: bool | None = None,
    filters: dict[str, object] | None = None,
    series_display_options: dict[str, object] | None = None,
    min_position: list[str] | None = None,
) -> ViewPage:
    operation = operation_of(info)
    limit = _MAXIMUM if first is None or first < 0 else min(first, _MAXIMUM)
    chosen = chosen_of(operation, filters_of(filters), display_options(series_display_options))
    only = None if id is None else [ids.insight_id_of(id)]
    excluded = [ids.insight_id_of(each, "excludeIds") for each in exclude_ids or ()]
    empty = bool(is_frozen)
    start = _after(after)
    rows = [] if empty else queries.views(
        operation.reads.snapshot.connection, first=limit + 1, after=start, ids=only, find=find or None, exclude_ids=excluded
    )  # fmt: skip
    shown = rows[:limit]
    announce(operation, shown)
    more = len(rows) > limit
    return ViewPage(
        nodes=[ViewSource(row=row, chosen=chosen) for row in shown],
        page_info=PageInfo(
            end_cursor=cursor(_CURSOR, shown[-1].id) if more and shown else None, has_next_page=more
        ),
        only=only,
        find=find or None,
        excluded=excluded,
        empty=empty,
    )


@query.field("insightsDashboards")
def resolve_dashboards(_: object, __: Info, **___: object) -> Dashboards:
    return Dashboards()


@connection_type.field("totalCount")
def resolve_total_count(page: ViewPage, info: Info) -> int:
    if page.empty:
        return 0
    connection = operation_of(info).reads.snapshot.connection
    return queries.count(connection, ids=page.only, find=page.find, exclude_ids=page.excluded)


@connection_type.field("asOf")
@view_type.field("asOf")
def resolve_as_of(_: object, info: Info) -> list[AsOf]:
    return as_of(operation_of(info), ALL_PROJECTIONS)


@view_type.field("id")
def resolve_id(view: ViewSource, _: Info) -> str:
    return ids.insight_node_id(view.row.id)


@view_type.field("databaseID")
def resolve_database_id(view: ViewSource, _: Info) -> str:
    return str(view.row.id)


@view_type.field("title")
def resolve_title(view: ViewSource, _: Info) -> str:
    return view.row.title


@view_type.field("description")
def resolve_description(view: ViewSource, _: Info) -> str:
    return view.row.description


@view_type.field("createdAt")
def resolve_created_at(view: ViewSource, _: Info) -> object:
    return view.row.created_at


@view_type.field("position")
def resolve_position(view: ViewSource, _: Info) -> str:
    return view.row.created_position


@view_type.field("isFrozen")
def resolve_is_frozen(_: ViewSource, __: Info) -> bool:
    return False


@view_type.field("dashboardReferenceCount")
def resolve_dashboard_count(_: ViewSource, __: Info) -> int:
    return 0


@view_type.field("dashboards")
def resolve_view_dashboards(_: ViewSource, __: Info, **___: object) -> Dashboards:
    return Dashboards()


@view_type.field("seriesCount")
def resolve_series_count(view: ViewSource, info: Info) -> int:
    return len(definitions(operation_of(info), view))


@view_type.field("defaultFilters")
def resolve_default_filters(_: ViewSource, __: Info) -> dict[str, object]:
    return Filters().as_answer()


@view_type.field("appliedFilters")
def resolve_applied_filters(view: ViewSource, _: Info) -> dict[str, object]:
    return view.chosen.filters.as_answer()


@view_type.field("defaultSeriesDisplayOptions")
def resolve_default_display(_: ViewSource, __: Info) -> dict[str, object]:
    return _display_answer(DisplayOptions())


@view_type.field("appliedSeriesDisplayOptions")
def resolve_applied_display(view: ViewSource, _: Info) -> dict[str, object]:
    return _display_answer(view.chosen.display)


def definitions(operation: Operation, view: ViewSource) -> tuple[SeriesDefinition, ...]:
    """The series of a view, in the order in which they were defined."""
    return operation.reads.series.get(view.row.id) or ()


def announce(operation: Operation, rows: Sequence[View]) -> None:
    """Whatever is asked of one of these views will be asked of all of them."""
    reads = operation.reads
    reads.series.announce(row.id for row in rows)
    reads.jobs.announce(row.id for row in rows)


def view_source(operation: Operation, row: View) -> ViewSource:
    """A view without filters of the request."""
    announce(operation, [row])
    return ViewSource(row=row, chosen=chosen_of(operation, Filters(), DisplayOptions()))


def node_of(operation: Operation, key: str) -> ViewSource | None:
    """The view behind a node id's key."""
    if not (key.isascii() and key.isdigit()):
        return None
    row = queries.view(operation.reads.snapshot.connection, int(key))
    return None if row is None else view_source(operation, row)


def _after(after: str | None) -> int | None:
    if after is None:
        return None
    key = parse_cursor(_CURSOR, after)
    if len(key) != 1 or not isinstance(key[0], int):
        raise InputRefused("after", "this is no cursor of this list")
    return key[0]


def _display_answer(options: DisplayOptions) -> dict[str, object]:
    return {
        "sort_options": {"mode": options.mode.value, "direction": options.direction.value},
        "limit": options.limit,
        "num_samples": options.samples,
    }


bindables = [query, view_type, connection_type]
