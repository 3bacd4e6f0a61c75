"""The gate before every page and endpoint, as pure ASGI: Host, who asks, and what a write must show.

Order (``api.app``): headers -> Guard -> bodies -> WriteCheck -> routes. A body is read only for who is let in.
"""

import asyncio
import secrets
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.directory import Directory
from api.auth.proxy import TrustedProxy
from api.auth.sessions import Session, Sessions
from api.auth.tokens import presented_token, user_of_token
from api.auth.user import ADMIN_NAME, Means, User, local_admin
from api.http.bodies import body_of
from api.http.refusals import refusal
from schemas.errors import MillstreamError

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_ACCESS = (
    "Nobody is logged in here. People open the link that 'millstream login' prints; "
    "programs send 'Authorization: token T', where T is the content of the file 'token' in Millstream's home."
)
_WRONG_TOKEN = (
    "The token in the header 'Authorization' is not this server's, was revoked or is expired, or does not have the form 'token T'. "
    "T is what 'millstream token create' printed, or the content of the file 'token' in Millstream's home; people open the link "
    "that 'millstream login' prints."
)
ONLY_READS = "This token may only read: make one with the scope 'write'."
_NO_ACCOUNT = "This account is not there, or was closed: ask a site admin."
_log = structlog.get_logger()
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


def csrf_token(request: Request) -> str:
    """The token that this browser's forms and scripts must send with a write; empty without a session."""
    found = request.scope.get("millstream.csrf")
    return found if isinstance(found, str) else ""


class Guard:
    """Refuses foreign Host headers (DNS rebinding) and whoever shows no token, session or trusted proxy's word.

    Without a ``directory`` there is the local admin alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        sessions: Sessions,
        policy: GatePolicy,
        directory: Directory | None = None,
        proxy: TrustedProxy | None = None,
    ) -> None:
        self._app = app
        self._token = token
        self._sessions = sessions
        self._policy = policy
        self._directory = directory
        self._proxy = proxy

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
        is_public = self._policy.is_public(path)
        try:
            user, shown = await self._who(scope, headers)
        except (SQLAlchemyError, MillstreamError) as error:
            _log.warning("accounts_not_read", error=str(error))
            if not is_public:
                answer = refusal(scope, 503, "UNAVAILABLE", "Accounts cannot be read just now: try again.")
                await answer(scope, receive, send)
                return
            user = None
        if user is None and not is_public:
            answer = refusal(scope, 401, "UNAUTHENTICATED", shown, command="millstream login")
            answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        scope["millstream.user"] = user
        await self._app(scope, receive, send)

    async def _who(self, scope: Scope, headers: Headers) -> tuple[User | None, str]:
        """Who asks, and what to say where it is nobody. A token counts before a cookie, a cookie before the proxy's word."""
        authorization = headers.get("authorization")
        if authorization is not None:
            token = presented_token(authorization)
            return (await self._of_token(token) if token is not None else None), _WRONG_TOKEN
        session = self._sessions.read(headers.get("cookie", ""))
        if session is not None:
            user = await self._of_name(session.name, Means.SESSION)
            if user is not None:
                self._note(scope, session)
                return user, ""
        named = self._proxy.name_in(scope) if self._proxy is not None else None
        if named is not None and named != ADMIN_NAME:
            user = await self._of_name(named, Means.PROXY)
            # Browsers come through the proxy with every request, so its word is no proof that our own page asks.
            self._note(scope, Session(f"proxy\x1f{named}", named))
            return user, _NO_ACCOUNT
        return None, _NO_ACCESS if session is None else _NO_ACCOUNT

    def _note(self, scope: Scope, session: Session) -> None:
        scope["millstream.session"] = session
        scope["millstream.csrf"] = self._sessions.csrf_token(session)

    async def _of_token(self, token: str) -> User | None:
        local = user_of_token(token, self._token)
        if local is not None or self._directory is None:
            return local
        known, user = self._directory.token_at_once(token)
        return user if known else await asyncio.to_thread(self._directory.of_token, token)

    async def _of_name(self, name: str, means: Means) -> User | None:
        if self._directory is None:
            return local_admin(means) if name == ADMIN_NAME else None
        known, user = self._directory.name_at_once(name, means)
        return user if known else await asyncio.to_thread(self._directory.of_name, name, means)


class WriteCheck:
    """A write by cookie must come from our own page: same Origin, and the CSRF token as header or form field.

    A token that may only read writes nowhere; what is only asked by POST (``asking_paths``: GraphQL) looks by itself.
    """

    def __init__(self, app: ASGIApp, *, asking_paths: Collection[str] = ()) -> None:
        self._app = app
        self._asking_paths = frozenset(asking_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS:
            reason = _refused_because(scope) if "millstream.session" in scope else ""
            if reason:
                await refusal(scope, 403, "FORGED_WRITE", reason)(scope, receive, send)
                return
            user = scope.get("millstream.user")
            if isinstance(user, User) and not user.may_write and scope["path"] not in self._asking_paths:
                await refusal(scope, 403, "NOT_PERMITTED", ONLY_READS)(scope, receive, send)
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
