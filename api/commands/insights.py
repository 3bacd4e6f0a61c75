"""``insight.created`` from the input of ``createLineChartSearchInsight``: the reference's rules, and ours."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from api.commands.errors import ApiError, Code, InputRefused, query_refused
from schemas.events import InsightCreated, PatternType, SeriesDefinition, SeriesKind
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from streams.search.query import Query, QueryError, parse, validate_for_insight
from streams.search.query.fields import Field
from streams.search.query.nodes import Parameter, Pattern, walk

MAX_SERIES: Final = 50
MAX_INTERVAL: Final = 1000
MAX_FRAMES: Final = 1000
_NAMED: Final = 5
"""Unknown repositories that a message names; all of them stand in the error's extensions."""
_COLOR: Final = re.compile(r"[#\w(),.% -]{0,64}")

Input = Mapping[str, object]


class Scope(msgspec.Struct, frozen=True):
    """Which repositories a series is over: these names, or these criteria, or (both empty) all."""

    names: tuple[str, ...] = ()
    criteria: str | None = None


def scope_of(given: object, field: str) -> Scope | None:
    """A ``RepositoryScopeInput``, or None when there is none. Raises InputRefused."""
    if not isinstance(given, Mapping):
        return None
    names = tuple(name for name in given.get("repositories") or () if name)
    criteria = given.get("repository_criteria")
    if criteria is not None and not isinstance(criteria, str):
        raise InputRefused(f"{field}.repositoryCriteria", "criteria have to be a query")
    if names and criteria is not None:
        raise InputRefused(field, "series can not specify both a repository list and repository criteria")
    if criteria is not None:
        if len(criteria) > 10_000:
            raise InputRefused(
                f"{field}.repositoryCriteria",
                f"the criteria have {len(criteria):,} characters; at most 10,000 are allowed",
            )
        check_criteria(criteria, f"{field}.repositoryCriteria")
    return Scope(names, criteria)


def names_in(given: Input) -> set[str]:
    """Every repository name that the input mentions, to be looked up at once."""
    scopes = [given.get("repository_scope"), *(series.get("repository_scope") for series in _series(given))]
    return {
        name
        for scope in scopes
        if isinstance(scope, Mapping)
        for name in scope.get("repositories") or ()
        if name
    }


def scope_problem(parsed: Query) -> str | None:
    """Why a query cannot define a scope (only ``repo:`` filters, no pattern, no revision), or None."""
    for node in walk(parsed.node):
        if isinstance(node, Pattern) and "".join(piece.text for piece in node.pieces):
            text = parsed.text[node.span.start : node.span.end]
            return f"the query cannot be used for scoping because it contains a pattern: `{text}`."
        if isinstance(node, Parameter) and node.field is not Field.REPO:
            return f"the query cannot be used for scoping because it contains a disallowed filter: `{node.field.value}`."
    return None


def check_criteria(criteria: str, field: str) -> None:
    """Raises InputRefused unless ``criteria`` is a scope."""
    try:
        parsed = parse(criteria)
    except QueryError as error:
        raise query_refused(field, error) from error
    problem = scope_problem(parsed)
    if problem is not None:
        raise InputRefused(field, problem)


def check_query(text: str, kind: SeriesKind, field: str) -> Query:
    """The parsed query of a series. Raises InputRefused with the place of the fault."""
    try:
        parsed = parse(text, _pattern_type(kind).value)
        validate_for_insight(parsed, kind.value)
    except QueryError as error:
        raise query_refused(field, error) from error
    return parsed


def notices_in(payload: InsightCreated) -> list[dict[str, object]]:
    """What may surprise in each series' query, though all are valid: ``field`` is the query's path in the input."""
    return [
        {"field": f"dataSeries[{index}].query", "query": one.query, "message": message}
        for index, one in enumerate(payload.series)
        for message in parse(one.query, one.pattern_type.value).notices
    ]


def insight_created(
    given: Input,
    *,
    insight_id: int,
    creator: str,
    created_at: datetime,
    repository_ids: Mapping[str, int],
) -> InsightCreated:
    """The event's payload. ``repository_ids`` holds the ids of the names that exist. Raises InputRefused."""
    _check_unsupported(given)
    options = given.get("options")
    title = options.get("title") if isinstance(options, Mapping) else None
    if not isinstance(title, str) or not title.strip():
        raise InputRefused("options.title", "a title is required", remedy="Give the chart a title.")
    if len(title) > 500:
        raise InputRefused(
            "options.title",
            f"the title has {len(title)} characters; at most 500 are allowed",
            remedy="Shorten it; the description may be longer.",
        )
    series = _series(given)
    if not 1 <= len(series) <= MAX_SERIES:
        raise InputRefused(
            "dataSeries",
            f"{len(series)} series; a chart has 1 to {MAX_SERIES}",
            remedy="Give at least one query; spread many over several insights.",
        )
    frames = given.get("frames")
    if frames is None:
        frames = 12
    if not isinstance(frames, int) or not 1 <= frames <= MAX_FRAMES:
        raise InputRefused(
            "frames",
            f"{frames} points; 1 to {MAX_FRAMES} are allowed",
            remedy=f"Give a number of points from 1 to {MAX_FRAMES}; 12 is what holds without one.",
        )
    scope = scope_of(given.get("repository_scope"), "repositoryScope")
    description = given.get("description")
    if isinstance(description, str) and len(description) > 10_000:
        raise InputRefused(
            "description",
            f"the description has {len(description):,} characters; at most 10,000 are allowed",
        )
    return InsightCreated(
        insight_id=insight_id,
        title=title.strip(),
        creator=creator,
        created_at=created_at,
        description=description if isinstance(description, str) else "",
        frames=frames,
        series=[
            _definition(one, index, scope, given.get("time_scope"), repository_ids)
            for index, one in enumerate(series)
        ],
    )


def _definition(
    given: Input, index: int, view_scope: Scope | None, view_time: object, repository_ids: Mapping[str, int]
) -> SeriesDefinition:
    field = f"dataSeries[{index}]"
    query = given.get("query")
    if not isinstance(query, str) or not query.strip():
        raise InputRefused(f"{field}.query", "a query is required", remedy="Say what is to be counted.")
    if len(query) > 10_000:
        raise InputRefused(
            f"{field}.query", f"the query has {len(query):,} characters; at most 10,000 are allowed"
        )
    scope = scope_of(given.get("repository_scope"), f"{field}.repositoryScope") or view_scope
    if scope is None:
        raise InputRefused(f"{field}.repositoryScope", "a repository scope is required")
    unit, value = _interval(given.get("time_scope") or view_time, f"{field}.timeScope")
    if given.get("group_by") is not None:
        raise ApiError(
            Code.NOT_SUPPORTED,
            "Series grouped by a field are not counted by this version.",
            field=f"{field}.groupBy",
        )
    kind = SeriesKind.CAPTURE if given.get("generated_from_capture_groups") else SeriesKind.SEARCH
    check_query(query, kind, f"{field}.query")
    unknown = [name for name in scope.names if name not in repository_ids]
    if unknown:
        raise InputRefused(
            f"{field}.repositoryScope.repositories",
            f"repositories not found: {_named(unknown)}",
            remedy="Name repositories that are followed (millstream repo list), or add them first: millstream repo add.",
            repositories=unknown,
        )
    repositories = sorted({repository_ids[name] for name in scope.names}) or None
    options = given.get("options")
    options = options if isinstance(options, Mapping) else {}
    label, color = options.get("label"), options.get("line_color")
    if isinstance(color, str) and not _COLOR.fullmatch(color):
        raise InputRefused(f"{field}.options.lineColor", f"{color!r} is no colour")
    if isinstance(label, str) and len(label) > 500:
        raise InputRefused(
            f"{field}.options.label", f"the label has {len(label)} characters; at most 500 are allowed"
        )
    pattern_type = _pattern_type(kind)
    identity = SeriesIdentity(
        query=query,
        unit=unit.value,
        value=value,
        repositories=repositories,
        criteria=scope.criteria,
        kind=kind.value,
        pattern_type=pattern_type.value,
    )
    return SeriesDefinition(
        series_id=series_id(identity),
        label=label if isinstance(label, str) and label.strip() else query[:500],
        query=query,
        unit=unit,
        value=value,
        kind=kind,
        pattern_type=pattern_type,
        repositories=repositories,
        criteria=scope.criteria,
        line_color=color if isinstance(color, str) and color else None,
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _interval(given: object, field: str) -> tuple[TimeUnit, int]:
    step = given.get("step_interval") if isinstance(given, Mapping) else None
    if not isinstance(step, Mapping):
        raise InputRefused(field, "a time scope is required")
    unit, value = step.get("unit"), step.get("value")
    if not isinstance(unit, str) or not isinstance(value, int) or not 1 <= value <= MAX_INTERVAL:
        raise InputRefused(
            f"{field}.stepInterval.value",
            f"an interval of {value}; 1 to {MAX_INTERVAL} are allowed",
            remedy="Give a whole number in these bounds, or a larger unit.",
        )
    return TimeUnit(unit), value


def _pattern_type(kind: SeriesKind) -> PatternType:
    return PatternType.REGEXP if kind is SeriesKind.CAPTURE else PatternType.LITERAL


def _series(given: Input) -> Sequence[Input]:
    found = given.get("data_series")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _check_unsupported(given: Input) -> None:
    """What the event cannot hold yet is refused, not dropped in silence."""
    if given.get("dashboards"):
        raise ApiError(Code.NOT_SUPPORTED, "There are no dashboards in this version.", field="dashboards")
    controls = given.get("view_controls")
    if not isinstance(controls, Mapping):
        return
    filters = controls.get("filters")
    if isinstance(filters, Mapping) and any(filters.values()):
        raise ApiError(
            Code.NOT_SUPPORTED,
            "Default filters are not kept by this version: give filters when reading.",
            field="viewControls.filters",
        )
    display = controls.get("series_display_options")
    if isinstance(display, Mapping) and _not_default(display):
        raise ApiError(
            Code.NOT_SUPPORTED,
            "Default display options are not kept by this version: give seriesDisplayOptions when reading.",
            field="viewControls.seriesDisplayOptions",
        )


def _not_default(display: Mapping[str, object]) -> bool:
    sort = display.get("sort_options")
    sorted_otherwise = isinstance(sort, Mapping) and (sort.get("mode"), sort.get("direction")) != (
        "RESULT_COUNT",
        "DESC",
    )
    return (
        sorted_otherwise
        or display.get("limit") not in (None, 20)
        or display.get("num_samples") not in (None, 90)
    )
