"""Refusals in the form that the caller reads: JSON in the shape of GraphQL errors, or a short page."""

import html

import orjson
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope


def refusal(scope: Scope, status: int, code: str, message: str) -> Response:
    """An answer with ``status``; programs get ``errors[0].extensions.code``, browsers a page."""
    accept = Headers(scope=scope).get("accept", "")
    if "text/html" in accept:
        return HTMLResponse(_page(f"{status}", message), status_code=status)
    return json_errors(status, code, message)


def json_errors(status: int, code: str, message: str, **more: object) -> Response:
    """``{"errors": [{message, extensions: {code, ...}}]}``."""
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, **more}}]})
    return Response(body, status_code=status, media_type="application/json")


def _page(title: str, message: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} · Millstream</title><h1>{html.escape(title)}</h1><p>{html.escape(message)}</p></html>"
    )
