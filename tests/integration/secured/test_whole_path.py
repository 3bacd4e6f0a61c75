"""Over TLS and with passwords, as a company has its servers: every client logs in, and the whole path works."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings, load_settings
from projections.reading import Reader
from schemas.codec import new_event
from schemas.events import RepositoryRegistered
from schemas.topics import Topic
from tests.integration.streams.children import start_worker
from tests.stack import StackUnderTest, fresh_database
from tests.support.checker import check, read_log, wait_until_projected
from tests.support.projectors import projector_running
from tests.support.secured import Secured, secured_pair
from tests.support.work import Work

SESSION_TIMEOUT_MS = "6000"


@pytest.fixture(scope="module")
def pair(own_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with (
        fresh_database(own_stack.database_url, "secured") as url,
        secured_pair(tmp_path_factory.mktemp("secured"), url) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def settings(pair: Secured, home: Path) -> Settings:
    found = read(pair, home, "SCRAM-SHA-512")
    set_up(found)
    return found


@pytest.fixture(params=["SCRAM-SHA-512", "PLAIN"])
def either(pair: Secured, home: Path, settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The same installation, by both mechanisms."""
    return read(pair, home, str(request.param))


def read(pair: Secured, home: Path, mechanism: str) -> Settings:
    """Settings as a process reads them, from the environment."""
    own = {"HOME": str(home), "KAFKA_SESSION_TIMEOUT_MS": SESSION_TIMEOUT_MS, "PARTITIONS": "8"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(f"MILLSTREAM_{name}", value)
        for name, value in pair.environ(mechanism).items():
            patch.setenv(name, value)
        return load_settings()


def test_nobody_comes_in_without_tls_and_the_password(pair: Secured, either: Settings) -> None:
    tls = {"ssl.ca.location": str(pair.ca_file), "sasl.mechanism": str(either.kafka_sasl_mechanism)}
    for options in (
        {},
        {"security.protocol": "SASL_PLAINTEXT", **tls, "sasl.username": "millstream", "sasl.password": "x"},
        {"security.protocol": "SASL_SSL", **tls, "sasl.username": "millstream", "sasl.password": "wrong"},
    ):
        with pytest.raises(KafkaException):
            AdminClient({"bootstrap.servers": pair.kafka_bootstrap, "log_level": 0, **options}).list_topics(
                timeout=2.0
            )
    plain = pair.database_url.replace("sslmode=verify-full", "sslmode=disable")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(plain, connect_timeout=5)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(pair.database_url, password="wrong", connect_timeout=5)
    with connect(either, Role.APP) as connection:
        assert connection.pgconn.ssl_in_use


def test_every_client_logs_in(either: Settings) -> None:
    with KafkaAdmin(either) as admin:  # kafka-python
        assert Topic.RESULTS.value in admin.topics()
    said = new_event(
        RepositoryRegistered(repository_id=1, name="tests.example/secured/one", path="/none"),
        source="//tests/secured",
        time=datetime.now(UTC),
    )
    with Publisher(either) as publisher:  # confluent-kafka, both ways
        (position,) = publisher.publish([said])
    assert position in [record.position for record in read_log(either, [Topic.REPOSITORIES])]
    with start_worker(either, "heads") as heads:  # Faust, which brings aiokafka
        heads.wait_for(
            lambda lines: any(line.get("action") == "ready" for line in lines), "a worker", timeout_s=120.0
        )
        assert heads.terminate() == 0


def test_the_whole_path(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    reader = Reader(engine)
    with projector_running(settings):
        assert wait_until_projected(settings) == []
        with (
            Publisher(settings) as publisher,
            start_worker(settings, "heads") as heads,
            start_worker(settings, "hands") as hands,
        ):
            work = Work(publisher, tmp_path_factory.mktemp("repositories"))
            for number in (2, 3):
                work.register(number)
            work.create(1)
            work.wait_done(reader)
            assert (heads.terminate(), hands.terminate()) == (0, 0)
        late = wait_until_projected(settings)
        assert [*late, *work.problems(reader), *check(settings, work.acknowledged)] == []
    reader.close()
    engine.dispose()
