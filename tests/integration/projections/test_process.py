"""``millstream projector`` as a process, and the commands that show how far it is."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import text

from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.reading import Reader
from schemas.events import RepositoryRegistered
from tests.stack import StackUnderTest, fresh_database
from tests.support.environ import program_environ
from tests.support.projecting import event, settings_for
from tests.support.projectors import ProjectorProcess, eventually
from tests.support.spawning import millstream_text


@pytest.fixture(scope="module")
def settings(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh_database(stack.database_url, "process") as url:
        found = settings_for(url, tmp_path_factory.mktemp("home"), stack.kafka_bootstrap)
        set_up(found)
        yield found


def _command(settings: Settings, *arguments: str) -> str:
    done = millstream_text(*arguments, environ=program_environ(settings))
    done.check_returncode()
    return done.stdout


def _states(settings: Settings) -> dict[str, str]:
    return {
        row["name"]: row["state"] for row in json.loads(_command(settings, "projection", "list", "--json"))
    }


def test_it_runs_says_how_far_it_is_and_stops(settings: Settings) -> None:
    names = {one.name for one in PROJECTIONS}
    assert _states(settings) == dict.fromkeys(names, "ABSENT")
    number = 1 << 40
    database = engine(settings, Role.APP)
    reader = Reader(database)
    try:
        with ProjectorProcess(settings, environ={"MILLSTREAM_METRICS_PORT": "0"}) as projector:
            with Publisher(settings) as publisher:
                said = event(RepositoryRegistered(repository_id=number, name="local/process", path="/p"))
                assert reader.wait_for("repositories", publisher.publish([said]), 40.0)
            assert eventually(lambda: _states(settings) == dict.fromkeys(names, "RUNNING"), 30.0)
            rows = {
                row["name"]: row for row in json.loads(_command(settings, "projection", "list", "--json"))
            }
            assert rows["repositories"]["generation"] == 1
            assert rows["repositories"]["lag"] == 0
            assert rows["repositories"]["appliedTo"] is not None
            lag = json.loads(_command(settings, "lag", "--json"))["groups"]
            assert {(row["kind"], row["name"]) for row in lag} >= {("projection", name) for name in names}
            assert "repositories" in _command(settings, "projection", "list")
            assert "RECORDS" in _command(settings, "lag")
            _metrics_are_served_on_loopback_only(projector)
            with database.connect() as connection:
                shown = text("select name from live.repo_names where id = :id")
                assert connection.scalar(shown, {"id": number}) is None, "row security holds in views"
                connection.execute(text("set millstream.denied_repositories = '{}'"))
                assert connection.scalar(shown, {"id": number}) == "local/process"
            assert projector.stop() == 0
        assert _states(settings) == dict.fromkeys(names, "STOPPED")
    finally:
        reader.close()
        database.dispose()


def _metrics_are_served_on_loopback_only(projector: ProjectorProcess) -> None:
    served = [line for line in projector.lines if line["action"] == "metrics_served"]
    with urllib.request.urlopen(f"http://127.0.0.1:{served[0]['port']}/metrics", timeout=10) as answer:
        found = answer.read().decode()
    assert 'millstream_projection_events_total{projection="repositories"}' in found
    assert "millstream_projection_lag_records" in found
    listening = [
        one.laddr.ip
        for one in psutil.Process(projector.pid).net_connections()
        if one.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_a_name_that_is_no_projection_is_refused(settings: Settings) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _command(settings, "projector", "--only", "nothing")
    assert "series_points" in refused.value.stderr
