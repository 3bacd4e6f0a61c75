"""Pages ask the same GraphQL schema as everybody: documents in ``documents/``, answers decoded into typed values."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol, TypeVar

import msgspec
from graphql import OperationDefinitionNode, parse
from starlette.requests import Request
from starlette.templating import Jinja2Templates

from api.auth.guard import current_user
from api.auth.user import User
from api.context import GraphQLExecutor
from api.http.live import LiveHub
from infra.settings import Settings
from schemas.errors import MillstreamError

T = TypeVar("T")
Generations = tuple[tuple[str, int], ...]
"""(projection, generation) of those that are read in place of the live ones."""


class PageContext(Protocol):
    """What pages use of ``api.context.AppContext``."""

    @property
    def templates(self) -> Jinja2Templates: ...
    @property
    def execute_graphql(self) -> GraphQLExecutor: ...
    @property
    def live(self) -> LiveHub: ...
    @property
    def version(self) -> str: ...
    @property
    def settings(self) -> Settings: ...


class GraphQLError(msgspec.Struct, frozen=True, rename="camel"):
    """One error of an answer; ``extensions`` holds ``code`` and more (``root.graphql``, ErrorCode)."""

    message: str
    path: tuple[str | int, ...] = ()
    extensions: dict[str, object] = {}

    @property
    def code(self) -> str:
        """A value of ErrorCode, or empty."""
        return str(self.extensions.get("code", ""))


class Asked(MillstreamError):
    """An operation that a page needs was answered with errors."""

    def __init__(self, errors: tuple[GraphQLError, ...]) -> None:
        first = errors[0] if errors else GraphQLError("The answer was empty.")
        super().__init__(first.message, remedy=str(first.extensions.get("remedy", "")))
        self.errors = errors
        self.code = first.code
        self.reference = str(first.extensions.get("reference", ""))


class Shown(msgspec.Struct, frozen=True):
    """What stands behind a page under "View as GraphQL"."""

    document: str
    variables: dict[str, object]


@cache
def document(name: str) -> str:
    """The operation in ``documents/<name>.graphql``."""
    return (files("api.web") / "documents" / f"{name}.graphql").read_text(encoding="utf-8").strip()


@cache
def document_at(name: str, at: Generations) -> str:
    """The same operation, read from numbered generations."""
    if not at:
        return document(name)
    text = document(name)
    (operation,) = (one for one in parse(text).definitions if isinstance(one, OperationDefinitionNode))
    place = operation.selection_set.loc.start if operation.selection_set.loc is not None else len(text)
    directives = (f'@atGeneration(projection: "{one}", generation: {number}) ' for one, number in at)
    return text[:place] + "".join(directives) + text[place:]


def shown(name: str, variables: Mapping[str, object], at: Generations = ()) -> Shown:
    """The operation with the variables as sent; those that are null are left out."""
    return Shown(document_at(name, at), {key: value for key, value in variables.items() if value is not None})


async def ask(
    context: PageContext,
    request: Request,
    name: str,
    variables: Mapping[str, object],
    answer: type[T],
    *,
    idempotency_key: str | None = None,
    at: Generations = (),
) -> T:
    """Runs ``documents/<name>.graphql`` as who asks for the page.

    Raises:
        Asked: the answer has errors; a page shows whole answers only.
    """
    user = current_user(request)
    if user is None:
        raise Asked((GraphQLError("Nobody is logged in.", extensions={"code": "UNAUTHENTICATED"}),))
    return await ask_as(context, user, name, variables, answer, idempotency_key=idempotency_key, at=at)


async def ask_as(
    context: PageContext,
    user: User,
    name: str,
    variables: Mapping[str, object],
    answer: type[T],
    *,
    idempotency_key: str | None = None,
    at: Generations = (),
) -> T:
    """Runs ``documents/<name>.graphql`` as ``user``. Raises Asked as ``ask`` does."""
    found = await context.execute_graphql(
        document_at(name, at), dict(variables), user=user, idempotency_key=idempotency_key
    )
    errors = msgspec.convert(found.errors, tuple[GraphQLError, ...])
    if errors or found.data is None:
        raise Asked(errors)
    return msgspec.convert(found.data, answer)
