"""What a caller is told when something is refused: a code, a sentence, and what helps to act on it. Pure."""

from enum import StrEnum

from schemas.errors import MillstreamError
from streams.search.query import QueryError


class Code(StrEnum):
    """Values of ``extensions.code`` that come from the execution of an operation; see ``root.graphql``."""

    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    TIMEOUT = "TIMEOUT"
    INVALID_INPUT = "INVALID_INPUT"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    NOT_PERMITTED = "NOT_PERMITTED"
    NOT_FOUND = "NOT_FOUND"
    REFUSED = "REFUSED"
    ACCEPTED_NOT_YET_VISIBLE = "ACCEPTED_NOT_YET_VISIBLE"
    REJECTED = "REJECTED"
    NOT_YET_APPLIED = "NOT_YET_APPLIED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ApiError(MillstreamError):
    """An error with a code; ``extensions`` are plain JSON values that stand beside it."""

    def __init__(self, code: Code, message: str, *, remedy: str = "", **extensions: object) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.extensions = extensions


class InputRefused(ApiError):
    """An argument breaks a rule. ``field`` is its path in the input, such as ``dataSeries[0].query``."""

    def __init__(self, field: str, message: str, *, remedy: str = "", **extensions: object) -> None:
        super().__init__(Code.INVALID_INPUT, message, remedy=remedy, field=field, **extensions)


def query_refused(field: str, error: QueryError) -> InputRefused:
    """The error for a search query that cannot be run, with the place of the fault."""
    return InputRefused(
        field,
        error.reason,
        remedy=error.remedy,
        position=error.position,
        length=error.length,
        query=error.text,
    )
