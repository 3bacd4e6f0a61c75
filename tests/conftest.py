"""Fixtures for every test: the stack (started once per run), a database per module, an environment without surprises.

``MILLSTREAM_TEST_STACK`` chooses where the stack comes from: ``embedded`` (default) or ``external``, which needs
``MILLSTREAM_KAFKA_BOOTSTRAP`` and ``MILLSTREAM_DATABASE_URL``.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import (
    StackUnderTest,
    embedded_stack,
    external_stack,
    fresh_database,
    remove_stale_homes,
)
from tests.support.system import RunningSystem, running_system

_KEPT = ("MILLSTREAM_TEST_", "MILLSTREAM_REQUIRE_", "MILLSTREAM_MAVEN_")
_ENVIRON = dict(os.environ)


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the person who runs the tests reaches them, and no test reaches that person's data."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _ENVIRON:
            if name.startswith("MILLSTREAM_") and not name.startswith(_KEPT):
                patch.delenv(name)
        patch.setenv("MILLSTREAM_HOME", str(tmp_path_factory.mktemp("home") / "unused"))
        yield


@pytest.fixture(scope="session")
def stack(own_environment: None) -> Iterator[StackUnderTest]:
    """Kafka and PostgreSQL for the whole run. Topics are shared: use keys and groups of your own, or ``own_stack``."""
    kind = _ENVIRON.get("MILLSTREAM_TEST_STACK", "embedded")
    if kind == "external":
        with external_stack(_ENVIRON) as running:
            yield running
    elif kind == "embedded":
        remove_stale_homes()
        with embedded_stack() as running:
            yield running
    else:
        pytest.exit(f"MILLSTREAM_TEST_STACK={kind}: say embedded or external", returncode=2)


@pytest.fixture(scope="module")
def own_stack(own_environment: None) -> Iterator[StackUnderTest]:
    """A second, empty stack for one module (3 to 6 s): for tests that stop servers or need the topics to themselves."""
    with embedded_stack() as running:
        yield running


@pytest.fixture(scope="module")
def database(stack: StackUnderTest, request: pytest.FixtureRequest) -> Iterator[str]:
    """The superuser's URL of an empty database for this module, dropped after it."""
    name = Path(str(request.node.path)).stem.removeprefix("test_")
    with fresh_database(stack.database_url, name) as url:
        yield url


@pytest.fixture(scope="session")
def system(own_environment: None) -> Iterator[RunningSystem]:
    """A whole Millstream (``millstream up``) for the run, shared: name your repositories and insights so that they are yours."""
    with running_system() as running:
        yield running
