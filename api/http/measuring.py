"""Counts and times of requests, by endpoint: never by path, which callers choose."""

import time

from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.metrics import HTTP_REQUESTS, HTTP_SECONDS

_NONE = "none"


class Measuring:
    """Outermost but for the headers, so that refusals are counted too."""

    def __init__(self, app: ASGIApp, *, router: Router) -> None:
        self._app = app
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started_s = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = self._route(scope)
            HTTP_REQUESTS.labels(route=route, status=str(status)).inc()
            HTTP_SECONDS.labels(route=route).observe(time.perf_counter() - started_s)

    def _route(self, scope: Scope) -> str:
        for route in self._router.routes:
            match, _ = route.matches(scope)
            if match is not Match.NONE:
                return str(getattr(route, "path", _NONE)) or _NONE
        return _NONE
