"""Refusals in the form that the caller reads: JSON in the shape of GraphQL errors, or a short page."""

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope


def refusal(scope: Scope, status: int, code: str, message: str, *, command: str = "") -> Response:
    """An answer with ``status``; programs get ``errors[0].extensions.code``, browsers a page."""
    # Here, not above: pages need the guard, and the guard needs this module.
    from api.web.outcomes import outcome_page

    if wants_page(scope):
        lines = () if status == 404 else (message,)  # the page has better words for it than the framework
        return outcome_page(status, lines=lines, command=command)
    return json_errors(status, code, message)


def wants_page(scope: Scope) -> bool:
    """Whether a browser shows the answer to a person."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def json_errors(status: int, code: str, message: str, **more: object) -> Response:
    """``{"errors": [{message, extensions: {code, ...}}]}``."""
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, **more}}]})
    return Response(body, status_code=status, media_type="application/json")
