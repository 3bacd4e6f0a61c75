"""An installation with projector and API, but no worker: what agents would say, tests publish themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.tokens import admin_token
from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from tests.stack import StackUnderTest
from tests.support.projecting import settings_for
from tests.support.projectors import eventually, projector_running

BASE = "http://127.0.0.1:7080"


@dataclass(frozen=True)
class Api:
    """The application, asked as a program asks it."""

    app: Starlette
    http: TestClient
    token: str
    settings: Settings

    def post(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The whole answer of one operation."""
        sent = {"authorization": f"token {self.token}", **(headers or {})}
        if key is not None:
            sent["idempotency-key"] = key
        return self.http.post(
            "/.api/graphql", json={"query": query, "variables": dict(variables or {})}, headers=sent
        )

    def ask(
        self, query: str, variables: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Any:
        """The ``data``; the test fails on errors."""
        body = self.post(query, variables, key=key).json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def error(
        self, query: str, variables: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Any:
        """The first error; the test fails without one."""
        return self.post(query, variables, key=key).json()["errors"][0]


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Roles, tables and topics are there."""
    home = tmp_path_factory.mktemp("installation")
    made = settings_for(lent_stack.database_url, home, lent_stack.kafka_bootstrap)
    set_up(made)
    return made


@pytest.fixture(scope="module")
def projecting(settings: Settings) -> Iterator[None]:
    """A projector runs."""
    with projector_running(settings):
        yield


@pytest.fixture(scope="module")
def api(settings: Settings, projecting: None) -> Iterator[Api]:
    """The API over it."""
    app = create_app(settings)
    with TestClient(app, base_url=BASE) as http:
        assert eventually(lambda: http.get("/readyz").status_code == 200), http.get("/readyz").text
        yield Api(app, http, admin_token(settings.home), settings)


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    """Says what agents would say."""
    with Publisher(settings) as made:
        yield made


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[Reader]:
    """Reads what is projected, as a worker does."""
    database = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    made = Reader(database)
    yield made
    made.close()
    database.dispose()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For files of the module."""
    return tmp_path_factory.mktemp("files")
