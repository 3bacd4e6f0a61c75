"""Refusals in the form that the caller reads: JSON in the shape of GraphQL errors, flat JSON for events, or a short page."""

from collections.abc import Iterable
from typing import Final

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from schemas.validation import FieldProblem

EVENTS_PATH: Final = "/events"
UPLOAD_PATHS: Final = ("/.api/scip/upload", "/.api/lsif/upload")
_REMEDIES: Final = {
    "UNAUTHENTICATED": "Send 'Authorization: token T'; T is the content of the file 'token' in Millstream's home.",
    "BODY_TOO_LARGE": "Send fewer events at once, or smaller ones.",
    "BODY_MALFORMED": "Send the body as its headers say.",
    "ENCODING_UNSUPPORTED": "Send gzip, or no Content-Encoding.",
    "METHOD_NOT_ALLOWED": "POST publishes, GET asks what became of an event.",
}
_UPLOAD_REMEDIES: Final = {
    "UNAUTHENTICATED": _REMEDIES["UNAUTHENTICATED"],
    "NOT_PERMITTED": "Make a token with the scope 'write': millstream token create.",
    "METHOD_NOT_ALLOWED": "POST uploads, HEAD asks whether an upload would be taken.",
}
"""What to do about refusals that are made before an endpoint is reached; otherwise the message says it."""


def refusal(scope: Scope, status: int, code: str, message: str, *, command: str = "") -> Response:
    """An answer with ``status``; programs get ``errors[0].extensions.code``, browsers a page."""
    # Here, not above: pages need the guard, and the guard needs this module.
    from api.web.outcomes import outcome_page, who_asks

    if wants_page(scope):
        lines = () if status == 404 else (message,)  # the page has better words for it than the framework
        return outcome_page(status, lines=lines, command=command, **who_asks(scope))
    if scope["path"] == EVENTS_PATH:
        return event_errors(status, code, message, _REMEDIES.get(code, ""))
    if scope["path"] in UPLOAD_PATHS:
        return event_errors(status, code, message, _UPLOAD_REMEDIES.get(code, ""))
    return json_errors(status, code, message)


def wants_page(scope: Scope) -> bool:
    """Whether a browser shows the answer to a person."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def json_errors(status: int, code: str, message: str, **more: object) -> Response:
    """``{"errors": [{message, extensions: {code, ...}}]}``."""
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, **more}}]})
    return Response(body, status_code=status, media_type="application/json")


def event_errors(
    status: int, code: str, message: str, remedy: str = "", problems: Iterable[FieldProblem] = ()
) -> Response:
    """``{code, message, remedy, problems: [{path, reason}]}``: every error of ``/events`` and of uploads."""
    listed = [{"path": one.path, "reason": one.reason} for one in problems]
    body = orjson.dumps(
        {"code": code, "message": message, "remedy": remedy, "problems": listed},
        option=orjson.OPT_APPEND_NEWLINE,
    )
    return Response(body, status_code=status, media_type="application/json")
