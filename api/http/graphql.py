"""GraphQL over HTTP: content types, status codes, and what a body may hold.

Who accepts ``application/graphql-response+json`` gets it. A refused operation is 400 in either type, one that ran is 200 even
where a field of it failed, an unreachable store is 503.
"""

from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.context import AppContext, GraphQLAnswer
from api.http.bodies import body_of
from api.http.idempotency import KeyRefused, idempotency_key
from api.http.refusals import json_errors, wants_page

PATHS: Final = ("/.api/graphql", "/graphql")
_RESPONSE_TYPE: Final = "application/graphql-response+json"


class BodyRefused(ValueError):
    """The JSON is no GraphQL request."""


class GraphQLRequest:
    """``query``, ``variables`` and ``operationName`` of a body. Raises BodyRefused."""

    def __init__(self, body: bytes) -> None:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BodyRefused(f"the body is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise BodyRefused("the body has to be one JSON object; operations are not taken in batches")
        query, variables, name = found.get("query"), found.get("variables"), found.get("operationName")
        if not isinstance(query, str) or not query.strip():
            raise BodyRefused("'query' has to be a text")
        if variables is not None and not isinstance(variables, dict):
            raise BodyRefused("'variables' has to be an object")
        if name is not None and not isinstance(name, str):
            raise BodyRefused("'operationName' has to be a text")
        self.query: str = query
        self.variables: dict[str, object] = variables or {}
        self.operation_name: str | None = name or None


def routes(context: AppContext) -> list[BaseRoute]:
    """Both addresses."""

    async def graphql(request: Request) -> Response:
        if request.method == "GET":
            return RedirectResponse("/graphiql", status_code=303) if wants_page(request.scope) else _pointer()
        user = current_user(request)
        if user is None:
            return json_errors(401, "UNAUTHENTICATED", "Send 'Authorization: token T'.")
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return json_errors(
                415,
                "MEDIA_TYPE_UNSUPPORTED",
                f"Content-Type {media_type!r} is not read; send application/json.",
            )
        try:
            key = idempotency_key(request.headers)
        except KeyRefused as error:
            return json_errors(400, "INVALID_INPUT", str(error))
        try:
            asked = GraphQLRequest(body_of(request.scope))
        except BodyRefused as error:
            return json_errors(400, "BODY_MALFORMED", f"{error}.")
        answer = await context.execute_graphql(
            asked.query,
            asked.variables,
            user=user,
            operation_name=asked.operation_name,
            idempotency_key=key,
        )
        return _response(request, answer)

    return [Route(path, graphql, methods=["GET", "POST"]) for path in PATHS]


def _response(request: Request, answer: GraphQLAnswer) -> Response:
    body: dict[str, object] = {"errors": answer.errors} if answer.errors else {}
    if answer.data is not None or not answer.errors or answer.status == 200:
        body["data"] = answer.data
    if answer.extensions:
        body["extensions"] = answer.extensions
    wants_new = _RESPONSE_TYPE in request.headers.get("accept", "")
    media_type = _RESPONSE_TYPE if wants_new else "application/json"
    return Response(orjson.dumps(body), status_code=answer.status, media_type=media_type)


def _pointer() -> Response:
    return JSONResponse(
        {
            "message": "This is Millstream's GraphQL API. POST {\"query\": ...} here with 'Authorization: token T'.",
            "schema": "millstream graphql schema",
        },
        status_code=200,
    )
