"""Fixtures for every test: the stack (started once per run), a database per module, an environment without surprises.

``MILLSTREAM_TEST_STACK`` chooses where the stack comes from: ``embedded`` (default), ``containers``, which needs Docker, or
``external``, which needs ``MILLSTREAM_KAFKA_BOOTSTRAP`` and ``MILLSTREAM_DATABASE_URL``, with ``MILLSTREAM_KAFKA_…`` for TLS and
SASL. Modules that stop servers, or need the topics to themselves, have an embedded stack of their own whatever it says.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lending import empty_kafka
from tests.side_by_side import (
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
    uses_system,
)
from tests.stack import (
    StackUnderTest,
    embedded_stack,
    external_stack,
    fresh_database,
    remove_stale_homes,
)
from tests.support.environ import SECURITY
from tests.support.system import RunningSystem, running_system

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol", "pytest_xdist_make_scheduler"]

_KIND = os.environ.get("MILLSTREAM_TEST_STACK", "embedded")
_LOGIN = tuple(f"MILLSTREAM_{name.upper()}" for name in SECURITY)
_OWN = frozenset(("own_stack", "lent_stack", "system"))
_KEPT = ("MILLSTREAM_TEST_", "MILLSTREAM_REQUIRE_", "MILLSTREAM_MAVEN_")
_ENVIRON = dict(os.environ)
_SYSTEM = ExitStack()
"""Stops the whole system: its tests come first, and an idle one would take processor time from all that follow."""


def pytest_configure(config: pytest.Config) -> None:
    """A stack that cannot be had is said in one line, before anything runs."""
    if missing := _missing():
        pytest.exit(f"MILLSTREAM_TEST_STACK={_KIND}: {missing}", returncode=2)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three processes, each with a stack of its own: most of their time is waiting. One where all would share a cluster's groups."""
    return 0 if _KIND == "external" else 3


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Who uses the servers that were named logs in to them as the environment says; an embedded stack asks for nothing."""
    if not uses_system(item):
        _SYSTEM.close()
    names = set(item.fixturenames)
    outside = _KIND == "external" and "stack" in names and not names & _OWN
    for name in _LOGIN:
        os.environ.pop(name, None)
        if outside and name in _ENVIRON:
            os.environ[name] = _ENVIRON[name]


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the person who runs the tests reaches them, and no test reaches that person's data."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _ENVIRON:
            if name.startswith("MILLSTREAM_") and not name.startswith(_KEPT) and name not in _LOGIN:
                patch.delenv(name)
        patch.setenv("MILLSTREAM_HOME", str(tmp_path_factory.mktemp("home") / "unused"))
        yield


@pytest.fixture(scope="session")
def stack(own_environment: None) -> Iterator[StackUnderTest]:
    """Kafka and PostgreSQL for the whole run. Topics are shared: use keys and groups of your own, or ``own_stack``."""
    remove_stale_homes()
    with _started() as running:
        yield running


def _started() -> AbstractContextManager[StackUnderTest]:
    if _KIND == "external":
        return external_stack(_ENVIRON)
    if _KIND == "containers":
        from tests.containers import containers_stack  # here: Docker's client takes its time

        return containers_stack()
    return embedded_stack()


def _missing() -> str:
    """What stands in the way of the stack that was asked for; empty when nothing does."""
    if _KIND == "external":
        needed = ("MILLSTREAM_KAFKA_BOOTSTRAP", "MILLSTREAM_DATABASE_URL")
        return " and ".join(f"set {name}" for name in needed if not _ENVIRON.get(name))
    if _KIND == "containers":
        from tests.containers import docker_answers

        return "" if docker_answers() else "Docker does not answer: start it, or leave the variable out"
    return "" if _KIND == "embedded" else "say embedded, containers or external"


@pytest.fixture(scope="session")
def _to_lend(own_environment: None) -> Iterator[StackUnderTest]:
    with embedded_stack() as running:
        yield running


@pytest.fixture(scope="module")
def lent_stack(_to_lend: StackUnderTest, request: pytest.FixtureRequest) -> Iterator[StackUnderTest]:
    """An empty stack for one module, as ``own_stack``; it must not stop the servers, which others get after it."""
    empty_kafka(_to_lend.kafka_bootstrap)
    name = Path(str(request.node.path)).stem.removeprefix("test_")
    with fresh_database(_to_lend.database_url, name) as url:
        yield replace(_to_lend, database_url=url)


@pytest.fixture(scope="module")
def own_stack(own_environment: None) -> Iterator[StackUnderTest]:
    """A stack for one module alone (3 to 6 s): for tests that stop servers, or change what they are set to."""
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
    """A whole Millstream (``millstream up``), shared: name your repositories and insights so that they are yours."""
    with _SYSTEM:
        yield _SYSTEM.enter_context(running_system())
