"""Which repositories a series is about: its list, its criteria, or all, narrowed by its query. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from schemas.events import SeriesDefinition
from streams.search.query import (
    QueryError,
    RepositoryFilter,
    RepositoryType,
    YesNoOnly,
    parse,
    repository_filter,
)

_log = structlog.get_logger()
_NO_REPOSITORY: Final[tuple[int, ...]] = ()


class Repository(msgspec.Struct, frozen=True):
    """What a scope looks at."""

    id: int
    name: str
    fork: bool
    archived: bool


def repositories_in_scope(series: SeriesDefinition, repositories: Sequence[Repository]) -> tuple[int, ...]:
    """Ids of those of ``repositories`` that the series counts, ascending (DESIGN section 8, rule 11).

    An explicit list admits forks and archived repositories unless the query says otherwise; all and criteria
    do not. A query that cannot be read chooses nothing by itself: its cells are planned like any, and then
    fail with the reason, which people see. Criteria that cannot be read choose no repository.
    """
    explicit = series.repositories is not None
    candidates: Iterable[Repository] = repositories
    if series.repositories is not None:
        listed = frozenset(series.repositories)
        candidates = [repository for repository in repositories if repository.id in listed]
    filters = [_query_filter(series, explicit=explicit)]
    if series.criteria is not None:
        criteria = _criteria_filter(series, series.criteria)
        if criteria is None:
            return _NO_REPOSITORY
        filters.append(criteria)
    return tuple(
        sorted(
            repository.id
            for repository in candidates
            if all(one.matches(repository.name, repository.fork, repository.archived) for one in filters)
        )
    )


def _query_filter(series: SeriesDefinition, *, explicit: bool) -> RepositoryFilter:
    kind = RepositoryType.EXPLICIT if explicit else RepositoryType.ALL
    try:
        query = parse(series.query, series.pattern_type.value)
    except QueryError as error:
        _log.warning("invalid_query", series=series.series_id, reason=error.reason)
        query = parse("any", series.pattern_type.value)
    return repository_filter(query, kind)


def _criteria_filter(series: SeriesDefinition, criteria: str) -> RepositoryFilter | None:
    try:
        named = repository_filter(parse(criteria))
    except QueryError as error:
        _log.warning("invalid_criteria", series=series.series_id, reason=error.reason)
        return None
    # Forks and archived ones are the query's business: it knows what was asked.
    return replace(named, fork=YesNoOnly.YES, archived=YesNoOnly.YES)
