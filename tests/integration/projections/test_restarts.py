"""The broker and the database end and come back under running projections: nothing lost, nothing twice, nobody blamed."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from infra.embedded.stack import Endpoints, read_endpoints
from infra.installation import set_up
from infra.kafka.errors import KafkaError
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import RECORDINGS, REPOSITORIES, SERIES_POINTS
from projections.reading import Reader
from projections.verification.verify import Outcome, verify
from schemas.codec import new_event
from schemas.envelope import Event, Position
from schemas.events import RepositoryRegistered, RepositoryRenamed
from tests.stack import StackUnderTest, fresh_database
from tests.support.projecting import T0, completed, result, settings_for
from tests.support.projectors import eventually
from tests.support.running import running

UNDER_TEST = (REPOSITORIES, RECORDINGS, SERIES_POINTS)


@pytest.fixture
def settings(own_stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(own_stack.database_url, "restarts") as url:
        found = settings_for(url, tmp_path / "home", own_stack.kafka_bootstrap)
        set_up(found)
        yield found


class Load:
    """Publishes until it is stopped; what the broker did not acknowledge is said again, under the same ids."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self.positions: list[Position] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        with Publisher(self._settings) as publisher:
            number = 0
            while not self._stop.is_set():
                try:
                    self.positions += publisher.publish(_said(number))
                    number += 1
                except KafkaError:
                    self._stop.wait(0.2)
                self._stop.wait(0.01)


def _said(number: int) -> list[Event]:
    repository = number % 20
    payloads = [
        RepositoryRegistered(repository_id=repository, name=f"local/r{number}", path="/p"),
        RepositoryRenamed(repository_id=repository, name=f"local/n{number}"),
        completed(result({600 + number % 9: number % 5}), repository_id=repository, request_id=f"r-{number}"),
    ]
    return [
        new_event(payload, source="//load", time=T0, event_id=f"{number}-{part}")
        for part, payload in enumerate(payloads)
    ]


def _now(stack: StackUnderTest) -> Endpoints | None:
    return read_endpoints(stack.home)


@pytest.mark.parametrize(
    ("server", "number"),
    [("kafka", signal.SIGTERM), ("kafka", signal.SIGKILL), ("postgres", signal.SIGKILL)],
)
def test_a_server_ends_and_comes_back_under_running_projections(
    settings: Settings, own_stack: StackUnderTest, server: str, number: signal.Signals
) -> None:
    before = _now(own_stack)
    assert before is not None
    process = before.kafka if server == "kafka" else before.postgres
    app = engine(settings, Role.APP)
    reader = Reader(app)
    with running(settings, *UNDER_TEST) as runners:
        load = Load(settings)
        try:
            assert eventually(lambda: len(load.positions) > 150, 60.0)
            os.kill(process.pid, number)
            assert eventually(lambda: not process.alive(), 60.0), "the fault fired"
            assert eventually(lambda: (now := _now(own_stack)) is not None and now.alive(), 120.0)
            published = len(load.positions)
            assert eventually(lambda: len(load.positions) > published + 150, 90.0)
        finally:
            load.stop()
        assert eventually(lambda: _all_applied(reader, load.positions), 120.0)
    assert not runners.failures
    reader.close()
    app.dispose()
    for one in UNDER_TEST:
        with connect(settings, Role.PROJECTOR) as connection:
            schema = next(found.schema_name for found in runners.generations if found.projection == one.name)
            for table in ("dead_letters", "quarantine"):
                rows = connection.execute(f'select count(*) from "{schema}".{table}'.encode()).fetchone()
                assert rows == (0,), f"an outage is nobody's fault: {one.name}.{table}"
    compared = verify(settings, [one.name for one in UNDER_TEST])
    assert [one.outcome for one in compared] == [Outcome.EQUAL] * len(UNDER_TEST), compared


def _all_applied(reader: Reader, positions: list[Position]) -> bool:
    try:
        return all(reader.wait_for(one.name, positions, 1.0) for one in UNDER_TEST)
    except SQLAlchemyError:  # the database is still coming back; the caller has a deadline
        return False
