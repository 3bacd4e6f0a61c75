"""The runner on a real log and database: visible, honest about bad records, stubborn about outages, loud about bugs."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.errors import PublishFailed
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import REPOSITORIES, SERIES_POINTS
from projections.generations import ensure_generation
from projections.lag import projection_lags
from projections.projection import Projection
from projections.reading import Reader
from projections.repositories import queries
from projections.runner.errors import LogMismatch
from projections.runner.notify import Notifier
from projections.runner.runner import Runner
from schemas.codec import encode
from schemas.envelope import Position
from schemas.events import RepositoryPushed, RepositoryRegistered
from schemas.topics import Topic
from tests.stack import StackUnderTest, fresh_database
from tests.support.environ import program_environ
from tests.support.projecting import completed, event, result, settings_for
from tests.support.projectors import eventually


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
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


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.APP)
    yield database
    database.dispose()


@pytest.fixture
def reader(app: Engine) -> Iterator[Reader]:
    reader = Reader(app)
    yield reader
    reader.close()


@contextmanager
def running(
    settings: Settings,
    projector: Engine,
    projection: Projection,
) -> Iterator[Runner]:
    """A runner in a thread; what it raised is raised here."""
    stop = threading.Event()
    notifier = Notifier(settings)
    generation = ensure_generation(projector, projection)
    runner = Runner(settings, projection, generation, notifier, stop)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            runner.run()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join(30)
        notifier.close()
    if failures:
        raise failures[0]


def _registered(number: int, name: str = "") -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=number, name=name or f"local/r{number}", path=f"/r/{number}")


@pytest.mark.alone
def test_an_event_is_visible_soon_and_can_be_waited_for(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    with running(settings, projector, REPOSITORIES):
        assert reader.wait_for("repositories", publisher.publish([event(_registered(1))]), 30.0)
        took_s = []
        for number in range(2, 7):
            began = time.monotonic()
            (position,) = publisher.publish([event(_registered(number))])
            assert reader.wait_for("repositories", [position], 10.0)
            took_s.append(time.monotonic() - began)
            time.sleep(0.12)  # the next NOTIFY is due at once again
        with reader.snapshot(("repositories",)) as snapshot:
            found = queries.all_repositories(snapshot.connection)
            assert [one.id for one in found] == [1, 2, 3, 4, 5, 6]
            assert found[0].registered_at == event(_registered(1)).time
            assert found[0].clone_state == "waiting"
            assert snapshot.freshness()["repositories"].applied_up_to is not None
            assert {at.partition for at in snapshot.applied["repositories"]} == set(range(8))
        assert sorted(took_s)[2] < 0.24, f"waiters wait for the poll, not the NOTIFY: {took_s}"
        ahead = Position(position.topic, position.partition, position.offset + 1)
        assert not reader.wait_for("repositories", [ahead], 0.3)
        assert reader.wait_until("repositories", {("some.other.topic", 0): 99}, 0.0)


def test_row_security_hides_denied_repositories_and_everything_without_the_setting(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader, app: Engine
) -> None:
    with running(settings, projector, REPOSITORIES):
        assert reader.wait_for("repositories", publisher.publish([event(_registered(50))]), 30.0)
    with reader.snapshot(("repositories",)) as snapshot:
        every = queries.count(snapshot.connection)
        schema = snapshot.generations["repositories"].schema_name
    with reader.snapshot(("repositories",), denied_repositories=[50, 51]) as snapshot:
        assert queries.count(snapshot.connection) == every - 1
        assert queries.by_name(snapshot.connection, "local/r50") is None
    with app.connect() as connection:
        assert connection.scalar(text(f"select count(*) from {schema}.repo_names")) == 0


def test_malformed_records_are_dead_letters_between_good_events_of_one_key(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    first, second = event(_registered(70)), event(_registered(70, "local/second"))
    key, value, headers = encode(first)
    attributes = dict(headers)

    def with_header(name: str, data: bytes) -> tuple[tuple[str, bytes], ...]:
        return tuple((attributes | {name: data}).items())

    bad = {
        "not JSON": (key, b"{", headers, "$"),
        "missing attribute": (key, value, tuple((n, d) for n, d in headers if n != "ce_id"), "ce_id"),
        "wrong schema": (key, b'{"repository_id": "x", "name": "a/b"}', headers, "$.repository_id"),
        "no value": (key, None, headers, ""),
        "another key": (b"71", value, headers, "key"),
        "time without zone": (key, value, with_header("ce_time", b"2026-01-01T00:00:00"), "ce_time"),
        "too large": (key, value + b" " * 910_000, headers, ""),
        "NUL": (key, value.replace(b"local/r70", b"local/r\\u0000"), headers, None),
        "bytes": (b"\xff\x00", b"\x00\xff", (("\u00e4", b"\xff\x00"),), None),
    }
    publisher.publish([first])
    positions = {
        name: publisher.publish_raw(Topic.REPOSITORIES, bad_key, bad_value, bad_headers)
        for name, (bad_key, bad_value, bad_headers, _) in bad.items()
    }
    unknown = publisher.publish_raw(
        Topic.REPOSITORIES, key, value, with_header("ce_type", b"millstream.repository.painted")
    )
    (last,) = publisher.publish([second])
    with running(settings, projector, REPOSITORIES):
        assert reader.wait_for("repositories", [*positions.values(), unknown, last], 30.0)
    with reader.snapshot(("repositories",)) as snapshot:
        found = queries.by_ids(snapshot.connection, [70])[70]
        schema = snapshot.generations["repositories"].schema_name
    assert found.name == "local/second"
    with connect(settings, Role.PROJECTOR) as connection:
        rows = connection.execute(
            f'select topic, partition, "offset", reason, path, key, value, header_names, header_values from {schema}.dead_letters'
        ).fetchall()
    letters = {Position(*row[:3]): row[3:] for row in rows}
    assert set(letters) == set(positions.values())
    for name, (bad_key, bad_value, bad_headers, path) in bad.items():
        reason, found_path, kept_key, kept_value, names, data = letters[positions[name]]
        assert reason
        assert path is None or found_path == path, (name, reason, found_path)
        assert (kept_key, kept_value) == (bad_key, bad_value)
        assert tuple(zip(names, data, strict=True)) == tuple(bad_headers)


def test_an_unknown_version_stops_its_partition_only(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    outcome = event(completed(result({600: 1}), repository_id=1))
    key, value, headers = encode(outcome)
    newer = tuple(
        (name, data.rpartition(b"/v")[0] + b"/v99" if name == "ce_dataschema" else data)
        for name, data in headers
    )
    (before,) = publisher.publish([outcome])
    stopped = publisher.publish_raw(Topic.RESULTS, key, value, newer)
    (behind,) = publisher.publish([event(completed(result({601: 1}), repository_id=1))])
    others = publisher.publish(
        [event(completed(result({600: 2}), repository_id=number)) for number in range(2, 12)]
    )
    others = [position for position in others if position.partition != stopped.partition]
    assert others
    with running(settings, projector, SERIES_POINTS):
        assert reader.wait_for("series_points", [before, *others], 30.0)
        assert not reader.wait_for("series_points", [behind], 0.5)

        def state() -> tuple[str, str]:
            with KafkaAdmin(settings) as admin, projector.connect() as connection:
                lag = next(
                    one for one in projection_lags(connection, admin) if one.projection == "series_points"
                )
                return lag.state, lag.reason

        assert eventually(lambda: state()[0] == "NEEDS_UPGRADE", 10.0)
        assert str(stopped) in state()[1]


def test_a_lost_database_connection_is_survived(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    with running(settings, projector, REPOSITORIES):
        assert reader.wait_for("repositories", publisher.publish([event(_registered(80))]), 30.0)
        with connect(settings, Role.ADMIN, autocommit=True) as admin:
            killed = admin.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'millstream-projector%%'"
            ).fetchone()
        assert killed is not None
        assert killed[0] >= 1
        assert reader.wait_for("repositories", publisher.publish([event(_registered(81))]), 30.0)
    with reader.snapshot(("repositories",)) as snapshot:
        assert set(queries.by_ids(snapshot.connection, [80, 81])) == {80, 81}


def test_a_bug_at_every_aggregate_ends_the_process_and_skips_nothing(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    position, *_ = publisher.publish(
        [
            event(RepositoryPushed(repository_id=number, default_branch="main", tip="a" * 40))
            for number in range(1, 41)
        ]
    )
    program = """
import sys
from infra.settings import load_settings
from projections.process import run
from projections.repositories import fold
class Buggy:
    def set(self, *key, **columns):
        raise RuntimeError("a bug")
    def upserts(self):
        return []
fold.SparseTable = lambda *arguments: Buggy()
sys.exit(run(load_settings(), ["repositories"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env=program_environ(settings, {"MILLSTREAM_KAFKA_SESSION_TIMEOUT_MS": "6000"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70, done.stderr
    assert "a bug" in done.stdout + done.stderr
    assert not reader.wait_for("repositories", [position], 0.0)
    with KafkaAdmin(settings) as admin, projector.connect() as connection:
        assert projection_lags(connection, admin)[0].state == "FAILED"
    with running(settings, projector, REPOSITORIES):
        assert reader.wait_for("repositories", [position], 30.0)
    with reader.snapshot(("repositories",)) as snapshot:
        assert queries.by_ids(snapshot.connection, [1])[1].tip == "a" * 40


def test_a_replaced_log_stops_the_projection_and_names_the_remedy(
    settings: Settings, lent_stack: StackUnderTest, tmp_path: Path, publisher: Publisher
) -> None:
    """The last test of this module: it takes the topic away from the others."""
    with fresh_database(lent_stack.database_url, "replaced") as url:
        own = settings_for(url, tmp_path, lent_stack.kafka_bootstrap)
        set_up(own)
        database = engine(own, Role.PROJECTOR)
        reader = Reader(database)
        try:
            with running(own, database, REPOSITORIES):
                positions = publisher.publish([event(_registered(number)) for number in range(200, 220)])
                assert reader.wait_for("repositories", positions, 30.0)
            _recreate(own, Topic.REPOSITORIES)
            assert eventually(lambda: _published_again(publisher), 30.0)
            with pytest.raises(LogMismatch) as stopped, running(own, database, REPOSITORIES) as runner:
                assert eventually(lambda: _state(runner) == "LOG_MISMATCH", 30.0)
        finally:
            reader.close()
            database.dispose()
    assert "millstream.repositories/" in str(stopped.value)
    assert "runtime.generations" in stopped.value.remedy


def _recreate(settings: Settings, topic: Topic) -> None:
    with KafkaAdmin(settings) as admin:
        found = admin.describe([topic])[topic]
        admin.delete_topics([topic])
        assert eventually(lambda: topic.value not in admin.topics(), 30.0)
        kept = {
            name: found.settings[name]
            for name in ("retention.ms", "retention.bytes", "message.timestamp.type")
        }
        admin.create_topics([NewTopic(topic.value, found.partitions, 1, kept)])


def _published_again(publisher: Publisher) -> bool:
    """A producer learns of the new topic only after a while."""
    try:
        publisher.publish([event(_registered(number)) for number in range(40)])
    except PublishFailed:
        return False
    return True


def _state(runner: Runner) -> str:
    with runner.connect() as connection:
        row = connection.execute("select min(state) from checkpoints").fetchone()
        return str(row[0]) if row else ""
