"""Errors as callers see them: a code from the schema's ``ErrorCode``, a sentence, and what helps to act on it."""

import uuid
from collections.abc import Sequence
from enum import StrEnum

import structlog
from graphql import GraphQLError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra.kafka.errors import KafkaError
from infra.postgres.errors import DatabaseUnreachable
from projections.generations import NotProjected
from schemas.errors import MillstreamError
from streams.search.query import QueryError

_STATEMENT_TIMEOUT = "57014"
_log = structlog.get_logger()


class Code(StrEnum):
    """Values of ``extensions.code`` that come from the execution of an operation; see ``root.graphql``."""

    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    TIMEOUT = "TIMEOUT"
    INVALID_INPUT = "INVALID_INPUT"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    NOT_FOUND = "NOT_FOUND"
    ACCEPTED_NOT_YET_VISIBLE = "ACCEPTED_NOT_YET_VISIBLE"
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


def formatted(errors: Sequence[GraphQLError]) -> list[dict[str, object]]:
    """Errors of one operation as plain JSON values; what nobody expected is logged and gets a reference."""
    return [_formatted(error) for error in errors]


def _formatted(error: GraphQLError) -> dict[str, object]:
    code, message, extensions = _classified(error)
    shown: dict[str, object] = {"message": message}
    if error.locations:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        shown["path"] = list(error.path)
    shown["extensions"] = {"code": code.value, **extensions}
    return shown


def _classified(error: GraphQLError) -> tuple[Code, str, dict[str, object]]:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    match cause:
        case None | GraphQLError():
            known = (error.extensions or {}).get("code")
            return (
                (Code(known) if known else Code.GRAPHQL_VALIDATION_FAILED),
                error.message,
                {name: value for name, value in (error.extensions or {}).items() if name != "code"},
            )
        case ApiError():
            remedy = {"remedy": cause.remedy} if cause.remedy else {}
            return cause.code, str(cause), {**cause.extensions, **remedy}
        case KafkaError() | DatabaseUnreachable() | NotProjected():
            return Code.UNAVAILABLE, str(cause), {"remedy": cause.remedy}
        case DBAPIError() if getattr(cause.orig, "sqlstate", None) == _STATEMENT_TIMEOUT:
            return Code.TIMEOUT, "The database took too long: ask for less.", {}
        case OperationalError() | PoolTimeout():
            _log.warning("database_unavailable", error=str(cause))
            return Code.UNAVAILABLE, "The database cannot be reached: try again.", {}
        case _:
            reference = uuid.uuid4().hex
            _log.error("operation_failed", reference=reference, path=error.path, exc_info=cause)
            return (
                Code.INTERNAL,
                "Something is broken in Millstream; the log says what.",
                {"reference": reference},
            )
