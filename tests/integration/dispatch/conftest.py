"""One crowd for each module."""

from collections.abc import Iterator

import pytest

from tests.support.dispatching import BURST, CONCURRENCY, MANY, RATE, Crowd, crowd
from tests.support.system import running_system


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """As many repositories as the module says (``REPOSITORIES``), and two hands."""
    with running_system({"MILLSTREAM_WORKER_HANDLERS": "2"}) as system:
        found = crowd(system, tmp_path_factory.mktemp("crowd"), getattr(request.module, "REPOSITORIES", MANY))
        try:
            yield found
        finally:
            found.publisher.close()
            found.database.close()


@pytest.fixture
def limited(home: Crowd) -> Iterator[Crowd]:
    """20 requests a second, 20 at once; without limits afterwards."""
    home.set(BURST, 20)
    home.set(RATE, 20)
    try:
        yield home
    finally:
        home.set(RATE, None)
        home.set(CONCURRENCY, None)
