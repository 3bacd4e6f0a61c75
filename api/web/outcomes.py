"""Pages that say how something ended: refused, not found, broken, logged in. They need no request and no database."""

import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse
from starlette.types import Scope

from api.auth.user import User
from api.web.templating import install

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"

_TO_INSIGHTS = (("/insights", "To the insights"),)
_TITLES = {
    400: "This request cannot be read",
    401: "Log in first",
    403: "This is not allowed",
    404: "Nothing is here",
    405: "This address does not take that",
    408: "The request took too long to arrive",
    413: "The request is too large",
    421: "This name is not ours",
    500: "Something broke on our side",
    503: "Not ready yet",
}
_LINES = {
    404: ("The address leads to nothing, or to something that was removed.",),
    500: ("The request was not answered. Nothing that was stored before is touched by this.",),
    503: ("Kafka or PostgreSQL cannot be reached right now. This page tries again by itself.",),
}


def outcome_page(
    status: int,
    *,
    title: str = "",
    lines: Sequence[str] = (),
    command: str = "",
    trace_id: str = "",
    actions: Sequence[tuple[str, str]] | None = None,
    refresh_s: int | None = None,
    go_to: str = "",
    viewer: User | None = None,
    csrf_token: str = "",
) -> HTMLResponse:
    """A page in Millstream's look for ``status``.

    ``command`` is what to type in a terminal; ``trace_id`` names the log line; ``actions`` are (address, text), none for
    people who are not logged in; after ``refresh_s`` seconds the browser loads the page again, or ``go_to``. ``viewer`` and ``csrf_token``: of whom the page is for (``who_asks``).
    """
    if actions is None:
        actions = () if status in (401, 421) else _TO_INSIGHTS
    text = (
        _environment()
        .get_template("outcome.html")
        .render(
            title=title or _TITLES.get(status, "This did not work"),
            code=str(status) if status >= 400 else "",
            lines=tuple(lines) or _LINES.get(status, ()),
            command=command,
            trace_id=trace_id,
            actions=tuple(actions),
            refresh_s=refresh_s,
            go_to=go_to,
            here="",
            version=product_version(),
            csrf_token=csrf_token,
            viewer=viewer,
        )
    )
    headers = {"retry-after": str(refresh_s)} if status == 503 and refresh_s else None
    return HTMLResponse(text, status_code=status, headers=headers)


class Viewer(TypedDict):
    """What the head of a page shows of who asks."""

    viewer: User | None
    csrf_token: str


def who_asks(scope: Scope) -> Viewer:
    """As the guard found; nobody where it did not look, or let nobody in."""
    user, token = scope.get("millstream.user"), scope.get("millstream.csrf")
    return {
        "viewer": user if isinstance(user, User) else None,
        "csrf_token": token if isinstance(token, str) else "",
    }


@cache
def product_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("millstream")
    except PackageNotFoundError:
        return os.environ.get("MILLSTREAM_VERSION", "unreleased")


@cache
def _environment() -> Environment:
    env = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    install(env)
    return env
