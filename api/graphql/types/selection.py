"""What a request chose to see of insights: filters on repositories, order and number of lines and points."""

from collections.abc import Mapping

import msgspec

from api.commands.errors import ApiError, Code, InputRefused
from api.graphql.lines import DEFAULT_LIMIT, DEFAULT_SAMPLES, DisplayOptions, SortDirection, SortMode
from api.graphql.operation import Operation
from projections.repositories import queries
from streams.search import regex


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """``InsightViewFilters``; None = not filtered by this."""

    include: str | None = None
    exclude: str | None = None

    def as_answer(self) -> dict[str, object]:
        return {"include_repo_regex": self.include, "exclude_repo_regex": self.exclude, "search_contexts": []}


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """``repositories``: ids that the filters leave, None without filters."""

    filters: Filters
    display: DisplayOptions
    repositories: frozenset[int] | None


def filters_of(given: Mapping[str, object] | None) -> Filters:
    """An ``InsightViewFiltersInput``. Empty texts filter nothing. Raises InputRefused."""
    if given is None:
        return Filters()
    if given.get("search_contexts"):
        raise ApiError(
            Code.NOT_SUPPORTED,
            "There are no search contexts in this version.",
            field="filters.searchContexts",
        )
    return Filters(
        include=_pattern(given.get("include_repo_regex"), "filters.includeRepoRegex"),
        exclude=_pattern(given.get("exclude_repo_regex"), "filters.excludeRepoRegex"),
    )


def display_options(given: Mapping[str, object] | None) -> DisplayOptions:
    """A ``SeriesDisplayOptionsInput`` over the defaults. Raises InputRefused."""
    if given is None:
        return DisplayOptions()
    sort = given.get("sort_options")
    mode = SortMode(sort["mode"]) if isinstance(sort, Mapping) else SortMode.RESULT_COUNT
    direction = SortDirection(sort["direction"]) if isinstance(sort, Mapping) else SortDirection.DESC
    return DisplayOptions(
        mode=mode,
        direction=direction,
        limit=_number(given.get("limit"), DEFAULT_LIMIT, "limit"),
        samples=_number(given.get("num_samples"), DEFAULT_SAMPLES, "numSamples"),
    )


def chosen_of(operation: Operation, filters: Filters, display: DisplayOptions) -> Chosen:
    """The selection, filters resolved to repositories of this snapshot."""
    if filters.include is None and filters.exclude is None:
        return Chosen(filters=filters, display=display, repositories=None)
    include = None if filters.include is None else regex.TextRegex(filters.include)
    exclude = None if filters.exclude is None else regex.TextRegex(filters.exclude)
    return Chosen(
        filters=filters,
        display=display,
        repositories=frozenset(
            one.id
            for one in queries.all_repositories(operation.reads.snapshot.connection)
            if (include is None or include.matches(one.name.encode()))
            and (exclude is None or not exclude.matches(one.name.encode()))
        ),
    )


def _pattern(given: object, field: str) -> str | None:
    if not isinstance(given, str) or not given:
        return None
    problem = regex.problem(given)
    if problem is not None:
        raise InputRefused(field, problem.message)
    return given


def _number(given: object, default: int, name: str) -> int:
    if given is None:
        return default
    if not isinstance(given, int) or given < 1:
        raise InputRefused(f"seriesDisplayOptions.{name}", f"{given}; a number from 1 is needed")
    return given
