"""The processes of one projector: one dies, the parent dies, all are asked to end under load, one has nothing left to do."""

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import Engine, text

from infra.embedded.processes import ProcessRef
from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.lag import projection_lags
from projections.reading import Reader
from projections.sharing import groups
from schemas.events import RepositoryRegistered
from tests.stack import StackUnderTest, fresh_database
from tests.support.load import Load
from tests.support.projecting import completed, event, result, settings_for
from tests.support.projectors import ProjectorProcess, eventually

NAMES = [one.name for one in PROJECTIONS]
CORES = len(os.sched_getaffinity(0))
GROUPS = tuple(groups(NAMES, CORES))
METRICS = {"MILLSTREAM_METRICS_PORT": "0"}

pytestmark = pytest.mark.skipif(CORES < 2, reason="on one core a projector is one process")
_numbers = count(5_000)


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh_database(lent_stack.database_url, "processes") as url:
        found = settings_for(url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
        set_up(found)
        yield found


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Engine]:
    found = engine(settings, Role.PROJECTOR, pool_size=2)
    yield found
    found.dispose()


@pytest.fixture
def reader(database: Engine) -> Iterator[Reader]:
    found = Reader(database)
    yield found
    found.close()


def passes(reader: Reader, publisher: Publisher, *names: str) -> bool:
    """Whether what is said now is applied by these projections."""
    number = next(_numbers)
    said = [
        event(completed(result({600: 1}), repository_id=number, request_id=f"processes-{number}")),
        event(RepositoryRegistered(repository_id=number, name=f"local/processes-{number}", path="/p")),
    ]
    outcome, registered = publisher.publish(said)
    waited = {"series_points": [outcome], "repositories": [registered], "event_index": [outcome, registered]}
    return all(reader.wait_for(name, waited[name], 60.0) for name in names)


def states(settings: Settings, database: Engine) -> dict[str, str]:
    with KafkaAdmin(settings) as admin, database.connect() as connection:
        return {lag.projection: lag.state for lag in projection_lags(connection, admin)}


def metrics_of(process: ProjectorProcess) -> str:
    (served,) = [line for line in process.lines if line["action"] == "metrics_served"]
    with urllib.request.urlopen(f"http://127.0.0.1:{served['port']}/metrics", timeout=20) as answer:
        found: str = answer.read().decode()
        return found


def passed(metrics: str, projection: str) -> float:
    """Events that this projection has passed, as the metrics say."""
    wanted = f'millstream_projection_events_total{{projection="{projection}"}} '
    return sum(float(line.removeprefix(wanted)) for line in metrics.splitlines() if line.startswith(wanted))


def test_a_child_that_is_killed_is_started_again_alone_and_one_port_shows_all(
    settings: Settings, database: Engine, publisher: Publisher, reader: Reader
) -> None:
    with ProjectorProcess(settings, environ=METRICS) as process:
        assert passes(reader, publisher, "series_points", "repositories", "event_index")
        before = {group: process.child(group) for group in GROUPS}
        assert len(process.children()) == len(GROUPS), "and nobody else"
        shown = metrics_of(process)
        assert all(passed(shown, name) >= 1 for name in ("series_points", "repositories", "event_index"))
        assert eventually(
            lambda: all(
                f'millstream_projection_lag_records{{projection="{name}"}}' in metrics_of(process)
                for name in NAMES
            )
        )
        killed = before["series_points"]
        assert killed.signal(signal.SIGKILL)
        assert passes(reader, publisher, "series_points", "repositories", "event_index")
        after = {group: process.child(group) for group in GROUPS}
        assert [group for group in GROUPS if after[group] != before[group]] == ["series_points"]
        died = [line for line in process.lines if line["action"] == "child_died"]
        assert [(line["child"], line["exit_code"]) for line in died] == [("series_points", -signal.SIGKILL)]
        assert passed(metrics_of(process), "series_points") >= 1, "the new one answers too"
        assert eventually(lambda: states(settings, database) == dict.fromkeys(NAMES, "RUNNING"))
        assert process.stop() == 0
        assert not any(one.alive() for one in after.values())


def test_when_the_parent_is_killed_no_child_is_left(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    with ProjectorProcess(settings) as process:
        assert passes(reader, publisher, "series_points", "repositories", "event_index")
        children = process.children()
        assert len(children) == len(GROUPS)
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert eventually(lambda: not any(one.alive() for one in children), 5.0)


@pytest.mark.alone
def test_asked_to_end_under_load_it_has_ended_in_ten_seconds(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    with Load(settings, 7, 150.0), ProjectorProcess(settings) as process:
        assert passes(reader, publisher, "series_points", "repositories", "event_index")
        children: list[ProcessRef] = process.children()
        began_s = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began_s < 10.0
        assert not any(one.alive() for one in children)
        assert not [line for line in process.lines if line["action"] == "child_killed"]


def test_a_child_whose_projection_has_stopped_stays_ended_and_the_last_one_ends_the_projector(
    settings: Settings, database: Engine, publisher: Publisher, reader: Reader
) -> None:
    """The last test of this module: it takes the log away from two projections."""
    _mistake(database, "event_index")
    with ProjectorProcess(settings) as process:
        assert eventually(lambda: any(line["action"] == "child_over" for line in process.lines))
        assert passes(reader, publisher, "series_points", "repositories")
        assert states(settings, database) == dict.fromkeys(NAMES, "RUNNING") | {"event_index": "LOG_MISMATCH"}
        assert len(process.children()) == len(GROUPS) - 1
        assert process.stop() == 0
    _mistake(database, "series_points")
    with ProjectorProcess(settings, ["series_points", "event_index"]) as process:
        assert process.wait() == 70
    assert states(settings, database)["series_points"] == "LOG_MISMATCH"


def _mistake(database: Engine, name: str) -> None:
    """Have the checkpoints of this projection speak of another log."""
    with database.begin() as connection:
        connection.execute(text(f"update {name}_g1.checkpoints set topic_id = repeat('x', 16)::bytea"))
