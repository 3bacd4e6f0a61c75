"""How commands reach the API: GraphQL over HTTP, with the admin's token of this home."""

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
import msgspec

from api.auth.tokens import TOKEN_FILE
from infra.embedded.address import announced
from infra.settings import Settings
from schemas.errors import MillstreamError

URL_VARIABLE: Final = "MILLSTREAM_URL"
TOKEN_VARIABLE: Final = "MILLSTREAM_TOKEN"
_TIMEOUT_S: Final = 60.0
_ALIVE_TIMEOUT_S: Final = 5.0
_REMEDIES: Final = {
    "UNAUTHENTICATED": f"Set {TOKEN_VARIABLE} to a token that millstream token create printed, or unset it to use that of this home.",
    "NOT_PERMITTED": "Ask a site admin, or use a token with more scopes: millstream token create --help.",
    "NOT_FOUND": "See what there is by the list of the same command.",
    "LIMIT_EXCEEDED": "Ask for less at once.",
    "UNAVAILABLE": "See that it runs, then try again: millstream lag, millstream logs api.",
}
"""What to do about errors for which the API says nothing."""
T = TypeVar("T")


class ApiNotRunning(MillstreamError):
    """No API answers."""


class ApiRefused(MillstreamError):
    """The API answered with an error. ``code`` is one of the schema's ``ErrorCode``; ``extensions`` say more."""

    def __init__(
        self, message: str, *, code: str, extensions: Mapping[str, object], remedy: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.extensions = extensions


class AnswerUnexpected(MillstreamError):
    """The answer is not what this build's schema promises."""


class Client:
    """One connection. Use it in ``with``."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"token {token}", "User-Agent": "millstream-cli"},
            timeout=_TIMEOUT_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(
        self,
        query: str,
        variables: Mapping[str, object],
        shape: type[T],
        *,
        idempotency_key: str | None = None,
    ) -> T:
        """The ``data`` of one operation as ``shape``. Raises ApiNotRunning, ApiRefused, AnswerUnexpected.

        A mutation always has a key, its own where none is given: when the connection breaks before the answer came, it is sent
        once more, and the API recognises the repeat.
        """
        key = idempotency_key
        if key is None and query.lstrip().startswith("mutation"):
            key = secrets.token_urlsafe(18)
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"query": query, "variables": dict(variables)}
        try:
            try:
                answer = self._http.post("/graphql", json=body, headers=headers)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if key is None:
                    raise
                answer = self._http.post("/graphql", json=body, headers=headers)
        except httpx.TransportError as error:
            raise _silent(self.base_url, error) from error
        try:
            found = msgspec.json.decode(answer.content, type=_Answer)
            if not found.errors:
                return msgspec.convert(found.data, shape)
        except msgspec.MsgspecError as error:
            raise AnswerUnexpected(
                f"the API at {self.base_url} answered something else than expected ({answer.status_code}): {error}",
                remedy="See that command and API are of one version: millstream --version.",
            ) from error
        first = found.errors[0]
        remedy, place = first.extensions.get("remedy"), first.extensions.get("field")
        code, at = str(first.extensions.get("code", "")), first.extensions.get("position")
        where = (
            f" (at character {at + 1} of the query)"
            if isinstance(at, int) and "query" in first.extensions
            else ""
        )
        raise ApiRefused(
            f"{place}: {first.message}{where}" if place else first.message,
            code=code,
            extensions=first.extensions,
            remedy=str(remedy) if remedy else _REMEDIES.get(code, ""),
        )

    def send(
        self,
        path: str,
        parameters: Mapping[str, str],
        content: Iterable[bytes],
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """POST of a body that is made while it is sent; the answer, whatever it is. Raises httpx.TransportError."""
        return self._http.post(path, params=dict(parameters), content=content, headers=dict(headers))

    def head(self, path: str, parameters: Mapping[str, str]) -> int:
        """The status with which a HEAD is answered. Raises ApiNotRunning."""
        try:
            return self._http.head(path, params=dict(parameters)).status_code
        except httpx.TransportError as error:
            raise _silent(self.base_url, error) from error


class _Error(msgspec.Struct):
    message: str
    extensions: dict[str, object] = {}


class _Answer(msgspec.Struct):
    data: object = None
    errors: list[_Error] = []


def connect(settings: Settings, environ: Mapping[str, str] | None = None) -> Client:
    """The API of ``MILLSTREAM_URL``, else the one that runs in this home. Raises ApiNotRunning."""
    environ = os.environ if environ is None else environ
    return Client(_url(settings.home, environ), _token(settings.home, environ))


def base_url(settings: Settings) -> str:
    """Where the API of this home is. Raises ApiNotRunning."""
    return _url(settings.home, os.environ)


def require_answer(url: str) -> None:
    """Raises ApiNotRunning when nothing answers at this base URL."""
    try:
        httpx.get(f"{url}/healthz", timeout=_ALIVE_TIMEOUT_S, trust_env=False)
    except httpx.TransportError as error:
        raise _silent(url, error) from error


def _silent(url: str, error: Exception) -> ApiNotRunning:
    return ApiNotRunning(
        f"the API at {url} does not answer: {error}",
        remedy="See that it runs: millstream up (or: millstream api).",
    )


def _url(home: Path, environ: Mapping[str, str]) -> str:
    named = environ.get(URL_VARIABLE)
    if named:
        if not named.startswith(("http://", "https://")):
            raise ApiNotRunning(
                f"{URL_VARIABLE} is {named!r}, which is no address",
                remedy="Set it to the one that millstream up printed: http://127.0.0.1:7080, say.",
            )
        return named.rstrip("/")
    found = announced(home)
    if found is None:
        raise ApiNotRunning(
            f"no API runs in {home}",
            remedy=f"millstream up; or name the folder in which it runs, MILLSTREAM_HOME=/…/.millstream, or its address: {URL_VARIABLE}",
        )
    return found[0]


def _token(home: Path, environ: Mapping[str, str]) -> str:
    named = environ.get(TOKEN_VARIABLE)
    if named:
        return named
    try:
        return (home / TOKEN_FILE).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ApiNotRunning(
            f"there is no token in {home}: {error.strerror}",
            remedy=f"Start the API once in this home, or set {TOKEN_VARIABLE}.",
        ) from error
