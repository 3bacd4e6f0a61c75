"""``/login``: a one-time link becomes a session; ``/logout`` ends it."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth.login_links import LOGIN_PATH, take_login_token
from api.context import AppContext
from api.http.refusals import refusal

# A page that moves on, not a redirect: after a redirect that another site began, a browser would keep the
# SameSite=Strict cookie back, and the first page would say "not logged in".
_MOVES_ON = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Logged in · Millstream</title>'
    '<meta http-equiv="refresh" content="0;url=/"><p>You are logged in. <a href="/">Go on</a>.</p></html>'
)


def routes(context: AppContext) -> list[BaseRoute]:
    """The two endpoints."""

    async def login(request: Request) -> Response:
        token = request.query_params.get("token", "")
        if request.method == "HEAD":
            return Response()
        if not token:
            return refusal(request.scope, 401, "UNAUTHENTICATED", "Run 'millstream login' on the machine that runs Millstream and open the link that it prints.")
        if not take_login_token(context.settings.home, token):
            return refusal(request.scope, 401, "LINK_USED", "This link was used before or is too old. 'millstream login' prints a new one.")
        _, cookie = context.sessions.begin(secure=request.url.scheme == "https")
        response = HTMLResponse(_MOVES_ON)
        response.headers["set-cookie"] = cookie
        return response

    async def logout(request: Request) -> Response:
        response = RedirectResponse(LOGIN_PATH, status_code=303)
        response.headers["set-cookie"] = context.sessions.end(secure=request.url.scheme == "https")
        return response

    return [Route(LOGIN_PATH, login, methods=["GET"]), Route("/logout", logout, methods=["POST"])]
