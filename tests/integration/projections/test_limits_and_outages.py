"""What time mends is retried, and never called another log."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import REPOSITORIES
from projections.generations import ensure_generation
from projections.projection import Projection
from projections.reading import Reader
from projections.runner import intake
from projections.runner.notify import Notifier
from projections.runner.runner import Runner
from schemas.events import RepositoryRegistered
from tests.stack import StackUnderTest
from tests.support.projecting import event, settings_for


@pytest.fixture(scope="module")
def settings(own_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(own_stack.database_url, tmp_path_factory.mktemp("home"), own_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.PROJECTOR)
    yield database
    database.dispose()


class Working:
    """A runner in a thread, and what it raised."""

    def __init__(self, settings: Settings, projector: Engine, projection: Projection) -> None:
        self._stop = threading.Event()
        self._notifier = Notifier(settings)
        generation = ensure_generation(projector, projection)
        self._runner = Runner(settings, projection, generation, self._notifier, self._stop)
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._runner.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the tests
            self.failures.append(error)

    def ended(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._notifier.close()


def _registered(number: int) -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=number, name=f"local/r{number}", path=f"/r/{number}")


def test_a_last_record_that_a_slow_broker_does_not_bring_is_no_log_mismatch(
    settings: Settings, projector: Engine, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(projector)
    working = Working(settings, projector, REPOSITORIES)
    try:
        assert reader.wait_for("repositories", publisher.publish([event(_registered(2))]), 40.0)
        working.close()
        monkeypatch.setattr(intake, "_LAST_RECORDS_TIMEOUT_S", 0.0)
        working = Working(settings, projector, REPOSITORIES)
        positions = publisher.publish([event(_registered(3))])
        assert not reader.wait_for("repositories", positions, 8.0), "what was folded last was never compared"
        assert not working.failures
        monkeypatch.undo()
        assert reader.wait_for("repositories", positions, 40.0)
    finally:
        working.close()
        reader.close()
