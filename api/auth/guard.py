"""The gate before every page and endpoint, as pure ASGI: Host, who asks, and what a write must show.

Order (``api.app``): headers -> Guard -> bodies -> WriteCheck -> routes. A body is read only for who is let in.
"""

import secrets
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.sessions import Session, Sessions
from api.auth.tokens import presented_token, user_of_token
from api.auth.user import User
from api.http.bodies import body_of
from api.http.refusals import refusal

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_ACCESS = (
    "Nobody is logged in here. People open the link that 'millstream login' prints; "
    "programs send 'Authorization: token T', where T is the content of the file 'token' in Millstream's home."
)
_WRONG_TOKEN = (
    "The token in the header 'Authorization' is not this server's, or does not have the form 'token T'. "
    "T is the content of the file 'token' in Millstream's home; people open the link that 'millstream login' prints."
)
_FORM = "application/x-www-form-urlencoded"


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is let through. ``hosts`` are names (no port) that the ``Host`` header may hold beside loopback's."""

    public_paths: frozenset[str] = frozenset({"/healthz", "/readyz", "/login", "/favicon.ico"})
    public_prefixes: tuple[str, ...] = ("/static/",)
    any_host_paths: frozenset[str] = frozenset({"/healthz", "/readyz"})
    hosts: frozenset[str] = frozenset()

    def is_public(self, path: str) -> bool:
        return path in self.public_paths or path.startswith(self.public_prefixes)


def current_user(request: Request) -> User | None:
    """Who asks; None only on public paths without a valid token or cookie."""
    found = request.scope.get("millstream.user")
    return found if isinstance(found, User) else None


def current_session(request: Request) -> Session | None:
    """The browser's session, or None where a program asks with a token."""
    found = request.scope.get("millstream.session")
    return found if isinstance(found, Session) else None


def csrf_token(request: Request) -> str:
    """The token that this browser's forms and scripts must send with a write; empty without a session."""
    found = request.scope.get("millstream.csrf")
    return found if isinstance(found, str) else ""


class Guard:
    """Refuses foreign Host headers (DNS rebinding) and whoever shows neither token nor session."""

    def __init__(self, app: ASGIApp, *, token: str, sessions: Sessions, policy: GatePolicy) -> None:
        self._app = app
        self._token = token
        self._sessions = sessions
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        if path not in self._policy.any_host_paths and not _host_allowed(
            headers.get("host", ""), self._policy.hosts
        ):
            answer = refusal(scope, 421, "HOST_REFUSED", "This name is not one that Millstream answers to.")
            await answer(scope, receive, send)
            return
        authorization = headers.get("authorization")
        user: User | None = None
        if authorization is not None:
            token = presented_token(authorization)
            user = user_of_token(token, self._token) if token is not None else None
        elif session := self._sessions.read(headers.get("cookie", "")):
            user = session.user
            scope["millstream.session"] = session
            scope["millstream.csrf"] = self._sessions.csrf_token(session)
        if user is None and not self._policy.is_public(path):
            answer = refusal(
                scope,
                401,
                "UNAUTHENTICATED",
                _NO_ACCESS if authorization is None else _WRONG_TOKEN,
                command="millstream login",
            )
            answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        scope["millstream.user"] = user
        await self._app(scope, receive, send)


class WriteCheck:
    """A write by cookie must come from our own page: same Origin, and the CSRF token as header or form field."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS and "millstream.session" in scope:
            reason = _refused_because(scope)
            if reason:
                await refusal(scope, 403, "FORGED_WRITE", reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refused_because(scope: Scope) -> str:
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return "The write came from another site."
    if origin is None and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "The write came from another site."
    presented = headers.get(CSRF_HEADER, "")
    if not presented and headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        fields = parse_qs(body_of(scope).decode("utf-8", "replace"))
        presented = fields.get(CSRF_FIELD, [""])[0]
    expected = scope.get("millstream.csrf")
    if not isinstance(expected, str) or not secrets.compare_digest(expected.encode(), presented.encode()):
        return "The page is too old or not ours: reload it and try again."
    return ""


def _host_allowed(host: str, allowed: Collection[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and (name in _LOOPBACK_HOSTS or name in allowed)
