"""``InsightView``, its connection and definitions, and how one is created."""

import secrets
from collections.abc import Sequence

import msgspec
from ariadne import MutationType, ObjectType, QueryType, UnionType

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.insights import check_query, insight_created, names_in, scope_problem
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.lines import DisplayOptions
from api.graphql.operation import ALL_PROJECTIONS, Operation
from api.graphql.types.freshness import AsOf, as_of
from api.graphql.types.info import Info, operation_of
from api.graphql.types.repositories import SOURCE, PageInfo
from api.graphql.types.selection import Chosen, Filters, chosen_of, display_options, filters_of
from api.web.palette import PALETTE
from projections.insights import queries
from projections.insights.queries import View
from projections.repositories import queries as repository_queries
from schemas.codec import new_event
from schemas.events import InsightCreated, SeriesDefinition, SeriesKind
from schemas.grid import TimeUnit
from schemas.ids import aggregate_id, derived_event_id
from streams.search.query import QueryError, parse

query = QueryType()
mutation = MutationType()
view_type = ObjectType("InsightView")
connection_type = ObjectType("InsightViewConnection")
definition_type = ObjectType("SearchInsightDataSeriesDefinition")
presentation_type = UnionType("InsightPresentation")
definition_union = UnionType("InsightDataSeriesDefinition")
time_scope_union = UnionType("InsightTimeScope")
repositories_union = UnionType("InsightRepositoryDefinition")

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


class SeriesPresentation(msgspec.Struct, frozen=True, kw_only=True):
    series_id: str
    label: str
    color: str


class LineChart(msgspec.Struct, frozen=True, kw_only=True):
    """``LineChartInsightViewPresentation``."""

    title: str
    series_presentation: list[SeriesPresentation]


class RepositoryList(msgspec.Struct, frozen=True):
    """``InsightRepositoryScope``."""

    repositories: list[str]


class RepositorySearch(msgspec.Struct, frozen=True):
    """``RepositorySearchScope``."""

    search: str
    all_repositories: bool


class StepInterval(msgspec.Struct, frozen=True):
    """``InsightIntervalTimeScope``."""

    unit: TimeUnit
    value: int


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


@query.field("validateScopedInsightQuery")
def resolve_validate_scope(_: object, __: Info, query: str) -> dict[str, object]:
    try:
        problem = scope_problem(parse(query))
    except QueryError as error:
        problem = f"the input query is invalid: {error.reason} (at position {error.position})"
    return {"query": query, "is_valid": problem is None, "invalid_reason": problem}


@query.field("validateInsightQuery")
def resolve_validate_query(
    _: object, __: Info, query: str, generated_from_capture_groups: bool | None = False
) -> dict[str, object]:
    kind = SeriesKind.CAPTURE if generated_from_capture_groups else SeriesKind.SEARCH
    answer: dict[str, object] = {"query": query, "is_valid": True, "notices": []}
    if not query.strip():
        return answer | {
            "is_valid": False,
            "invalid_reason": "a query is required",
            "position": 0,
            "length": 0,
        }
    try:
        return answer | {"notices": list(check_query(query, kind, "query").notices)}
    except InputRefused as error:
        reason = f"{error} {error.remedy}".strip()
        place = {name: error.extensions.get(name) for name in ("position", "length")}
        return answer | {"is_valid": False, "invalid_reason": reason} | place


@mutation.field("createLineChartSearchInsight")
def resolve_create(_: object, info: Info, input: dict[str, object]) -> dict[str, object]:  # noqa: A002
    operation = operation_of(info)
    key = operation.idempotency_key or secrets.token_hex(16)
    insight_id = aggregate_id("insight", operation.user.name, key)
    connection = operation.reads.snapshot.connection
    wanted = names_in(input)
    known = {one.name: one.id for one in repository_queries.all_repositories(connection)} if wanted else {}
    payload = insight_created(
        input,
        insight_id=insight_id,
        creator=operation.user.name,
        created_at=operation.now,
        repository_ids={name: known[name] for name in wanted if name in known},
    )
    if operation.idempotency_key:
        existing = queries.view(connection, insight_id)
        if existing is not None:
            _check_same(operation, existing, payload)
            return {"view": view_source(operation, existing), "position": existing.created_position}
    operation.renew()  # no transaction is held open while Kafka is waited for
    event = new_event(
        payload,
        source=SOURCE,
        time=payload.created_at,
        event_id=derived_event_id("insight.created", insight_id),
    )
    (position,) = operation.services.publisher.publish([event])
    operation.wait_visible("insights", position, id=ids.insight_node_id(insight_id))
    created = queries.view(operation.reads.snapshot.connection, insight_id)
    if created is None:
        raise ApiError(Code.NOT_FOUND, "The insight was deleted at the same moment.")
    return {"view": view_source(operation, created), "position": str(position)}


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


@view_type.field("presentation")
def resolve_presentation(view: ViewSource, info: Info) -> LineChart:
    return LineChart(
        title=view.row.title,
        series_presentation=[
            SeriesPresentation(
                series_id=one.series_id,
                label=one.label,
                color=one.line_color or PALETTE[position % len(PALETTE)][0],
            )
            for position, one in enumerate(definitions(operation_of(info), view))
        ],
    )


@view_type.field("dataSeriesDefinitions")
def resolve_definitions(view: ViewSource, info: Info) -> Sequence[SeriesDefinition]:
    return definitions(operation_of(info), view)


@view_type.field("repositoryDefinition")
def resolve_view_scope(view: ViewSource, info: Info) -> RepositoryList | RepositorySearch | None:
    operation = operation_of(info)
    found = definitions(operation, view)
    scopes = {(tuple(one.repositories or ()), one.criteria) for one in found}
    return _repository_definition(operation, found[0]) if len(scopes) == 1 else None


@view_type.field("timeScope")
def resolve_view_time(view: ViewSource, info: Info) -> StepInterval | None:
    found = {(one.unit, one.value) for one in definitions(operation_of(info), view)}
    return StepInterval(*found.pop()) if len(found) == 1 else None


@definition_type.field("repositoryScope")
def resolve_scope(one: SeriesDefinition, info: Info) -> RepositoryList:
    return _repository_list(operation_of(info), one)


@definition_type.field("repositoryDefinition")
def resolve_repository_definition(one: SeriesDefinition, info: Info) -> RepositoryList | RepositorySearch:
    return _repository_definition(operation_of(info), one)


@definition_type.field("timeScope")
def resolve_time(one: SeriesDefinition, _: Info) -> StepInterval:
    return StepInterval(one.unit, one.value)


@definition_type.field("generatedFromCaptureGroups")
def resolve_captures(one: SeriesDefinition, _: Info) -> bool:
    return one.kind is SeriesKind.CAPTURE


@definition_type.field("isCalculated")
def resolve_is_calculated(_: SeriesDefinition, __: Info) -> bool:
    return True


@presentation_type.type_resolver
def presentation_kind(_: object, *__: object) -> str:
    return "LineChartInsightViewPresentation"


@definition_union.type_resolver
def definition_kind(_: object, *__: object) -> str:
    return "SearchInsightDataSeriesDefinition"


@time_scope_union.type_resolver
def time_scope_kind(_: object, *__: object) -> str:
    return "InsightIntervalTimeScope"


@repositories_union.type_resolver
def repositories_kind(found: object, *_: object) -> str:
    return "InsightRepositoryScope" if isinstance(found, RepositoryList) else "RepositorySearchScope"


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


def _check_same(operation: Operation, existing: View, payload: InsightCreated) -> None:
    series = operation.reads.series.get(existing.id) or ()
    before = (existing.title, [(one.series_id, one.label) for one in series])
    if before != (payload.title, [(one.series_id, one.label) for one in payload.series]):
        raise InputRefused(
            "Idempotency-Key", "this key was used for another insight", remedy="Use a new key for a new insight.",
            id=ids.insight_node_id(existing.id),
        )  # fmt: skip


def _repository_list(operation: Operation, one: SeriesDefinition) -> RepositoryList:
    return RepositoryList(
        sorted(found.name for found in operation.reads.repositories.of(one.repositories or []))
    )


def _repository_definition(operation: Operation, one: SeriesDefinition) -> RepositoryList | RepositorySearch:
    if one.repositories is not None:
        return _repository_list(operation, one)
    return RepositorySearch(one.criteria or "", one.criteria is None)


def _display_answer(options: DisplayOptions) -> dict[str, object]:
    return {
        "sort_options": {"mode": options.mode.value, "direction": options.direction.value},
        "limit": options.limit,
        "num_samples": options.samples,
    }


bindables = [
    query,
    mutation,
    view_type,
    connection_type,
    definition_type,
    presentation_type,
    definition_union,
    time_scope_union,
    repositories_union,
]
