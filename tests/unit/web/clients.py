"""A browser of sorts: the pages over canned answers, as the admin sees them."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.user import Means, local_admin
from api.web import routes
from tests.unit.web.fixture import FixtureContext


class _LoggedIn:
    """Stands for the guard: the session of the admin."""

    def __init__(self, app: ASGIApp, known: bool) -> None:
        self._app, self._known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._known:
            scope["millstream.user"] = local_admin(Means.SESSION)
            scope["millstream.csrf"] = "the-csrf-token"
        await self._app(scope, receive, send)


def client_of(context: FixtureContext, *, known: bool = True) -> TestClient:
    app = Starlette(routes=routes(context), middleware=[Middleware(_LoggedIn, known=known)])
    return TestClient(app, follow_redirects=False)
