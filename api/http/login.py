"""``/login``: a one-time link becomes a session; ``/logout`` ends it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.auth.login_links import LOGIN_PATH, local_path, take_login_token
from api.context import AppContext
from api.http.refusals import refusal
from api.web.outcomes import outcome_page

_COMMAND = "millstream login"


def routes(context: AppContext) -> list[BaseRoute]:
    """The two endpoints."""

    async def login(request: Request) -> Response:
        token = request.query_params.get("token", "")
        if request.method == "HEAD":
            return Response()
        if not token and "ended" in request.query_params and current_user(request) is None:
            return outcome_page(
                200,
                title="You are logged out",
                lines=("The session of this browser has ended. This command prints a link that begins one.",),
                command=_COMMAND,
                actions=(),
            )
        if not token:
            return refusal(
                request.scope,
                401,
                "UNAUTHENTICATED",
                "Open the link that this command prints, on the machine that runs Millstream.",
                command=_COMMAND,
            )
        user = take_login_token(context.settings.home, token)
        if user is None:
            return refusal(
                request.scope,
                401,
                "LINK_USED",
                "This link was used before, or is too old. This command prints a new one.",
                command=_COMMAND,
            )
        _, cookie = context.sessions.begin(user, secure=request.url.scheme == "https")
        # A page that moves on, not a redirect: after a redirect that another site began, a browser would keep
        # the SameSite=Strict cookie back, and the first page would say "not logged in".
        goal = local_path(request.query_params.get("to", "/"))
        response = outcome_page(
            200, title="You are logged in", refresh_s=0, go_to=goal, actions=((goal, "Go on"),)
        )
        response.headers["set-cookie"] = cookie
        return response

    async def logout(request: Request) -> Response:
        response = RedirectResponse(f"{LOGIN_PATH}?ended=1", status_code=303)
        response.headers["set-cookie"] = context.sessions.end(secure=request.url.scheme == "https")
        return response

    return [Route(LOGIN_PATH, login, methods=["GET"]), Route("/logout", logout, methods=["POST"])]
