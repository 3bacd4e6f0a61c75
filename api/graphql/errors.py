"""Errors of an operation as plain JSON: what was refused, what cannot be reached, and what nobody expected."""

import uuid
from collections.abc import Sequence

import structlog
from graphql import GraphQLError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.commands.errors import ApiError, Code
from api.graphql.at_generation import DIRECTIVE
from infra.kafka.errors import KafkaError
from infra.postgres.errors import DatabaseUnreachable
from projections.chosen import GenerationRefused
from projections.generations import NotProjected

_STATEMENT_TIMEOUT = "57014"
_log = structlog.get_logger()


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
        case GenerationRefused():
            return Code.INVALID_INPUT, str(cause), {"field": DIRECTIVE, "remedy": cause.remedy}
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
