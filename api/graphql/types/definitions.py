"""How the series of a view are defined: ``InsightPresentation``, ``SearchInsightDataSeriesDefinition`` and their scopes."""

from collections.abc import Sequence

import msgspec
from ariadne import ObjectType, UnionType

from api.graphql.operation import Operation
from api.graphql.series_ids import shown_series_id
from api.graphql.types.info import Info, operation_of
from api.graphql.types.insights import ViewSource, definitions, view_type
from api.web.palette import PALETTE
from schemas.events import SeriesDefinition, SeriesKind
from schemas.grid import TimeUnit

definition_type = ObjectType("SearchInsightDataSeriesDefinition")
presentation_type = UnionType("InsightPresentation")
definition_union = UnionType("InsightDataSeriesDefinition")
time_scope_union = UnionType("InsightTimeScope")
repositories_union = UnionType("InsightRepositoryDefinition")


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


@view_type.field("presentation")
def resolve_presentation(view: ViewSource, info: Info) -> LineChart:
    operation = operation_of(info)
    return LineChart(
        title=view.row.title,
        series_presentation=[
            SeriesPresentation(
                series_id=shown_series_id(operation, one),
                label=one.label,
                color=one.line_color or PALETTE[position % len(PALETTE)][0],
            )
            for position, one in enumerate(definitions(operation, view))
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


@definition_type.field("seriesId")
def resolve_series_id(one: SeriesDefinition, info: Info) -> str:
    return shown_series_id(operation_of(info), one)


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


def _repository_list(operation: Operation, one: SeriesDefinition) -> RepositoryList:
    return RepositoryList(
        sorted(found.name for found in operation.reads.repositories.of(one.repositories or []))
    )


def _repository_definition(operation: Operation, one: SeriesDefinition) -> RepositoryList | RepositorySearch:
    if one.repositories is not None:
        return _repository_list(operation, one)
    return RepositorySearch(one.criteria or "", one.criteria is None)


bindables = [
    definition_type,
    presentation_type,
    definition_union,
    time_scope_union,
    repositories_union,
]
