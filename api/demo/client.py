"""The demo asks as every other program does: GraphQL over HTTP, with the admin's token."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from api.auth.tokens import admin_token
from schemas.errors import MillstreamError

_TIMEOUT_S: Final = 60.0
T = TypeVar("T")


class ApiFailed(MillstreamError):
    """The API did not answer, or answered with an error."""


class Client:
    """A connection to the API. ``ask`` raises ApiFailed, with the remedy."""

    def __init__(self, base_url: str, home: Path, *, timeout_s: float = _TIMEOUT_S) -> None:
        headers = {"Authorization": f"token {admin_token(home)}", "User-Agent": "millstream-demo"}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False)
        self._base_url = base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(
        self, query: str, variables: Mapping[str, Any], shape: type[T], *, idempotency_key: str | None = None
    ) -> T:
        """Run one operation; its ``data`` as ``shape``, a msgspec Struct."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        body = {"query": query, "variables": dict(variables)}
        try:
            answer = self._http.post("/graphql", json=body, headers=headers)
            found = msgspec.json.decode(answer.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise ApiFailed(
                f"the API at {self._base_url} does not answer: {error}", remedy="millstream logs api"
            ) from error
        errors = found.get("errors") or []
        if errors:
            path = ".".join(str(part) for part in errors[0].get("path") or [])
            raise ApiFailed(
                f"the API refused{f' {path}' if path else ''}: {errors[0]['message']}",
                remedy=(errors[0].get("extensions") or {}).get("remedy") or "millstream logs api",
            )
        try:
            return msgspec.convert(found["data"], shape)
        except (msgspec.ValidationError, KeyError) as error:
            raise ApiFailed(
                f"the API answered something else than its schema says: {error}", remedy="millstream logs api"
            ) from error
