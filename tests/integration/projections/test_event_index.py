"""The index finds what stands on the log, whatever became of it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect, engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import EVENT_INDEX
from projections.event_index.queries import IndexedEvent, positions_of
from projections.lag import projection_lags
from projections.reading import Reader
from projections.verification.verify import verify
from schemas.codec import encode
from schemas.envelope import Headers, Position
from schemas.events import InsightDeleted, RepositoryRegistered
from schemas.topics import Topic
from tests.stack import StackUnderTest
from tests.support.projecting import event, settings_for
from tests.support.projectors import ProjectorProcess, projector_running


@pytest.fixture(scope="module")
def settings(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(lent_stack.database_url, tmp_path_factory.mktemp("home"), lent_stack.kafka_bootstrap)
    set_up(found)
    return found


@pytest.fixture(scope="module")
def projector(settings: Settings) -> Iterator[ProjectorProcess]:
    with projector_running(settings, ["event_index"]) as process:
        yield process


@pytest.fixture(scope="module")
def publisher(settings: Settings) -> Iterator[Publisher]:
    with Publisher(settings) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Engine]:
    database = engine(settings, Role.APP, pool_size=2)
    yield database
    database.dispose()


@pytest.fixture
def reader(app: Engine) -> Iterator[Reader]:
    reader = Reader(app)
    yield reader
    reader.close()


def _found(reader: Reader, source: str, event_id: str) -> list[IndexedEvent]:
    with reader.snapshot(("event_index",)) as snapshot:
        return positions_of(snapshot.connection, source, event_id)


def _with(headers: Headers, **changed: bytes) -> Headers:
    return tuple((dict(headers) | {f"ce_{name}": data for name, data in changed.items()}).items())


def test_an_event_is_found_by_its_source_and_id(
    projector: ProjectorProcess, publisher: Publisher, reader: Reader
) -> None:
    said = event(RepositoryRegistered(repository_id=1, name="a/b", path="/p"), event_id="one")
    (position,) = publisher.publish([said])
    assert reader.wait_for("event_index", [position], 60.0)
    (found,) = _found(reader, "//test", "one")
    assert found.position == position
    assert (found.type, found.subject) == ("millstream.repository.registered", "1")
    assert _found(reader, "//other", "one") == []
    assert _found(reader, "//test", "two") == []


def test_a_repeat_is_found_in_order_of_append_also_on_another_topic(
    projector: ProjectorProcess, publisher: Publisher, reader: Reader
) -> None:
    said = event(RepositoryRegistered(repository_id=1, name="a/b", path="/p"), event_id="again")
    positions = publisher.publish([said]) + publisher.publish([said])
    positions += publisher.publish([event(InsightDeleted(insight_id=5), event_id="again")])
    assert reader.wait_for("event_index", positions, 60.0)
    found = _found(reader, "//test", "again")
    assert [one.position for one in found] == positions
    assert [one.appended_at for one in found] == sorted(one.appended_at for one in found)


def test_what_no_projection_takes_is_found_and_nothing_of_it_is_kept_twice(
    settings: Settings, projector: ProjectorProcess, publisher: Publisher, reader: Reader
) -> None:
    said = event(RepositoryRegistered(repository_id=1, name="a/b", path="/p"), event_id="bad payload")
    key, value, headers = encode(said)
    topic = Topic.REPOSITORIES.value
    positions = [
        publisher.publish_raw(topic, key, b"{", headers),
        publisher.publish_raw(topic, key, value, _with(headers, id=b"unknown", type=b"org.example.thing")),
        publisher.publish_raw(
            topic,
            key,
            value,
            _with(headers, id=b"new version", dataschema=_schema_of(headers).replace(b"/v1", b"/v99")),
        ),
        publisher.publish_raw(topic, None, b"\x00", ()),
    ]
    assert reader.wait_for("event_index", positions, 60.0), "an unknown version stops no index"
    assert _positions(reader, "bad payload", "unknown", "new version") == positions[:3]
    with connect(settings, Role.PROJECTOR) as connection:
        assert connection.execute("select count(*) from event_index_g1.dead_letters").fetchone() == (0,)
        assert connection.execute("select count(*) from event_index_g1.verdicts").fetchone() == (0,)


def _schema_of(headers: Headers) -> bytes:
    return dict(headers)["ce_dataschema"]


def _positions(reader: Reader, *event_ids: str) -> list[Position]:
    return [one.position for event_id in event_ids for one in _found(reader, "//test", event_id)]


def test_it_is_verified_and_counted_like_every_projection(
    settings: Settings, projector: ProjectorProcess, app: Engine
) -> None:
    (found,) = verify(settings, [EVENT_INDEX.name], timeout_s=60.0)
    assert found.equal, found
    assert found.rows > 5
    database = engine(settings, Role.PROJECTOR, pool_size=1)
    with KafkaAdmin(settings) as admin, database.connect() as connection:
        (lag,) = [one for one in projection_lags(connection, admin) if one.projection == EVENT_INDEX.name]
    database.dispose()
    assert (lag.records, lag.state, lag.dead_letters) == (0, "RUNNING", 0)
    with app.connect() as connection:
        plan = connection.scalars(
            text(
                "explain select * from event_index_g1.events"
                " where said = 5 and source = 'a' and event_id = 'b'"
            )
        ).all()
    assert any("events_pkey" in str(line) for line in plan), plan
