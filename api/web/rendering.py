"""What all page handlers share: rendering a template, and turning refusals into pages."""

import uuid
from collections.abc import Awaitable, Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.auth.guard import csrf_token, current_user
from api.web.asking import Asked, PageContext
from api.web.outcomes import outcome_page, who_asks

Handler = Callable[[Request], Awaitable[Response]]
_NOT_READY = frozenset({"UNAVAILABLE", "NOT_YET_APPLIED", "TIMEOUT"})
RETRY_AFTER_S = 3
_log = structlog.get_logger()


def render(
    context: PageContext, request: Request, template: str, *, status: int = 200, **values: object
) -> Response:
    """The template with ``values``, the version, who looks at it, and the token that its forms need.

    Raises ValueError where ``values`` hold one of these: ``base.html`` relies on them.
    """
    everywhere: dict[str, object] = {
        "version": context.version,
        "csrf_token": csrf_token(request),
        "viewer": current_user(request),
    }
    if taken := everywhere.keys() & values.keys():
        raise ValueError(f"{template}: every page has its own {', '.join(sorted(taken))}")
    return context.templates.TemplateResponse(request, template, {**everywhere, **values}, status_code=status)


def see_other(path: str) -> Response:
    """Where to go after a write: 303, so that a reload repeats nothing."""
    return RedirectResponse(path, status_code=303)


def page(handler: Handler) -> Handler:
    """The handler, with errors of the schema shown as pages, and whatever nobody expected logged under a trace id."""

    async def handled(request: Request) -> Response:
        try:
            return await handler(request)
        except Asked as error:
            return refused(error, request)
        except HTTPException:
            raise
        except Exception:  # noqa: BLE001 - a person waits for a page; the error is logged whole
            trace_id = uuid.uuid4().hex
            _log.exception("page_failed", trace_id=trace_id, path=request.url.path)
            return outcome_page(500, trace_id=trace_id, **who_asks(request.scope))

    return handled


def refused(error: Asked, request: Request) -> Response:
    """The page for an operation that was refused as a whole."""
    who = who_asks(request.scope)
    lines = [str(error)] + ([error.remedy] if error.remedy else [])
    if error.code == "NOT_FOUND":
        return outcome_page(404, **who)
    if error.code == "NOT_PERMITTED":
        return outcome_page(403, lines=lines, **who)
    if error.code == "UNAUTHENTICATED":
        return outcome_page(
            401, lines=("Open the link that this command prints.",), command="millstream login"
        )
    if error.code in _NOT_READY:
        return outcome_page(
            503, lines=[*lines, "This page tries again by itself."], refresh_s=RETRY_AFTER_S, **who
        )
    if error.code == "INTERNAL":
        return outcome_page(500, lines=lines, trace_id=error.reference, **who)
    return outcome_page(400, lines=lines, **who)
