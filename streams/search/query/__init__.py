"""The query language: ``parse`` text into a ``Query``, choose repositories by it, print it again.

Pure: imports neither git nor anything of the log or the database.
"""

from streams.search.query.errors import QueryError
from streams.search.query.history import HistoryQuery, HistoryType, Side, parse_history
from streams.search.query.insight import validate_for_insight
from streams.search.query.nodes import Query, RepositoryType, ResultType, YesNoOnly
from streams.search.query.parser import parse
from streams.search.query.pattern_types import PatternType
from streams.search.query.printer import print_query
from streams.search.query.repositories import RepositoryFilter, repository_filter

__all__ = [
    "HistoryQuery",
    "HistoryType",
    "PatternType",
    "Query",
    "QueryError",
    "RepositoryFilter",
    "RepositoryType",
    "ResultType",
    "Side",
    "YesNoOnly",
    "parse",
    "parse_history",
    "print_query",
    "repository_filter",
    "validate_for_insight",
]
