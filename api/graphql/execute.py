"""One operation from text to answer: limits, waits, then one snapshot, in a thread of its own."""

import asyncio
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    OperationType,
    execute_sync,
    specified_rules,
    validate,
)
from graphql.execution.values import get_variable_values
from graphql.utilities import get_operation_ast
from sqlalchemy.exc import SQLAlchemyError

from api.auth.guard import ONLY_READS
from api.auth.user import User
from api.commands.errors import ApiError, Code
from api.context import GraphQLAnswer
from api.graphql.at_generation import check_asked, generations_asked
from api.graphql.cost import cost_rule
from api.graphql.errors import formatted
from api.graphql.limits import check_shape, parsed
from api.graphql.operation import Operation, Services, wait_until_applied
from api.graphql.schema import executable_schema
from api.graphql.waits import Needs, needs_of
from projections.catalogue import PROJECTIONS
from schemas.errors import MillstreamError

_TOPICS: Final[Mapping[str, frozenset[str]]] = {
    one.name: frozenset(topic.value for topic in one.topics) for one in PROJECTIONS
}
_THREADS: Final = 32
_GRACE_S: Final = 5.0
"""An operation watches its own time; this much later its caller stops waiting for it."""
_log = structlog.get_logger()


class Prepared:
    """A document that passed all limits, and what its operation needs before it runs."""

    def __init__(self, document: DocumentNode, needs: Needs, at: Mapping[str, int]) -> None:
        self.document = document
        self.needs = needs
        self.at = at


class GraphQLService:
    """Runs operations. Implements ``api.context.GraphQLExecutor``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._schema = executable_schema()
        # Of its own: waiting for a projection holds a thread, and must not take those of everybody else.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="graphql")

    async def __call__(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        user: User,
        operation_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> GraphQLAnswer:
        """Never raises for what the caller asked: errors stand in the answer."""
        started_s = time.monotonic()
        patience_s = self._services.limits.time_s + self._services.limits.wait_s + _GRACE_S
        run = partial(
            self._run, query, dict(variables or {}), user, operation_name, idempotency_key, started_s
        )
        call = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.wait_for(call, patience_s)
        except TimeoutError:
            error = GraphQLError("The operation took too long.", extensions={"code": Code.TIMEOUT.value})
            return GraphQLAnswer(data=None, errors=formatted([error]), status=200)

    def _run(
        self,
        query: str,
        variables: dict[str, Any],
        user: User,
        operation_name: str | None,
        idempotency_key: str | None,
        started_s: float,
    ) -> GraphQLAnswer:
        hide_suggestions = not user.site_admin
        try:
            prepared = self._prepared(query, variables, operation_name, user)
        except _Refused as several:
            return GraphQLAnswer(data=None, errors=formatted(several.errors), status=400)
        except GraphQLError as refused:
            return GraphQLAnswer(data=None, errors=formatted([refused]), status=400)
        except ApiError as cause:
            return GraphQLAnswer(data=None, errors=formatted([_carrying(cause)]), status=400)
        try:
            wait_until_applied(
                self._services.reader,
                {name: _TOPICS[name] for name in prepared.needs.projections},
                prepared.needs.positions,
                self._services.limits.wait_s,
            )
        except (MillstreamError, SQLAlchemyError) as cause:
            errors = formatted([_carrying(cause)])
            return GraphQLAnswer(
                data=None, errors=errors, status=503 if _all(errors, Code.UNAVAILABLE) else 200
            )
        operation = Operation(
            self._services,
            user=user,
            idempotency_key=idempotency_key,
            projections=prepared.needs.projections,
            started_s=time.monotonic(),
            at=prepared.at,
        )
        try:
            if prepared.at:
                _ = operation.reads  # whether they can be read is known before anything is
        except (MillstreamError, SQLAlchemyError) as cause:
            operation.close()
            return GraphQLAnswer(data=None, errors=formatted([_carrying(cause)]), status=400)
        try:
            result = execute_sync(
                self._schema,
                prepared.document,
                context_value=operation,
                variable_values=variables,
                operation_name=operation_name,
                hide_suggestions=hide_suggestions,
            )
            extensions = {} if result.errors and result.data is None else operation.extensions()
        finally:
            operation.close()
        return self._answer(result, extensions, started_s)

    def _prepared(
        self, query: str, variables: dict[str, Any], operation_name: str | None, user: User
    ) -> Prepared:
        limits, hide_suggestions = self._services.limits, not user.site_admin
        document = parsed(query, limits)
        check_shape(document, limits)
        errors = validate(
            self._schema,
            document,
            specified_rules,
            max_errors=limits.errors,
            hide_suggestions=hide_suggestions,
        )
        if errors:
            raise _Refused(errors)
        chosen = get_operation_ast(document, operation_name)
        if chosen is None:
            raise GraphQLError("The operation to run is not named, or there is none of this name.")
        if chosen.operation is OperationType.MUTATION and not user.may_write:
            raise ApiError(Code.NOT_PERMITTED, ONLY_READS)
        coerced = get_variable_values(self._schema, chosen.variable_definitions or (), variables)
        if isinstance(coerced, list):
            raise _Refused(coerced)
        errors = validate(
            self._schema,
            document,
            [cost_rule(self._schema, limits.cost, coerced.coerced)],
            max_errors=limits.errors,
        )
        if errors:
            raise _Refused(errors)
        fragments = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }
        needs = needs_of(self._schema, chosen, fragments, coerced)
        at = generations_asked(self._schema, chosen, coerced)
        check_asked(at, needs, user)
        return Prepared(document, needs, at)

    def _answer(
        self, result: ExecutionResult, extensions: dict[str, object], started_s: float
    ) -> GraphQLAnswer:
        errors = formatted((result.errors or [])[: self._services.limits.errors])
        status = 200
        if result.data is None and errors:
            status = 503 if _all(errors, Code.UNAVAILABLE) else 200
        _log.debug(
            "operation_answered", errors=len(errors), duration_s=round(time.monotonic() - started_s, 3)
        )
        return GraphQLAnswer(data=result.data, errors=errors, extensions=extensions, status=status)


class _Refused(Exception):
    """Several errors at once."""

    def __init__(self, errors: Collection[GraphQLError]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = list(errors)


def _carrying(cause: Exception) -> GraphQLError:
    return GraphQLError(str(cause), original_error=cause)


def _all(errors: Collection[dict[str, object]], code: Code) -> bool:
    return all(
        isinstance(found := error["extensions"], dict) and found.get("code") == code.value for error in errors
    )
