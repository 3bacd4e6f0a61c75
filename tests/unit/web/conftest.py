"""The context of canned answers, and a client of its pages."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.unit.web.clients import client_of
from tests.unit.web.fixture import FixtureContext


@pytest.fixture
def context() -> FixtureContext:
    return FixtureContext()


@pytest.fixture
def client(context: FixtureContext) -> Iterator[TestClient]:
    with client_of(context) as made:
        yield made
