"""Anybody who reaches the broker can put anything on a topic: what it is must not cost anybody else's event."""

from datetime import UTC, datetime

from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.codec import encode
from schemas.events import BackfillPlanned, InsightCreated, RepositoryRegistered
from schemas.ids import aggregate_id, repository_id
from schemas.topics import Topic
from streams import faults
from tests.integration.streams.children import start_projector, start_worker
from tests.integration.streams.log import events_on
from tests.integration.streams.test_obligations import is_ready
from tests.support.system import eventually
from tests.unit.streams.events import definition, event

WAIT_S = 40.0


def test_a_header_without_a_value_costs_no_event_beside_it(
    settings: Settings, publisher: Publisher, admin: KafkaAdmin
) -> None:
    with (
        start_projector(settings),
        start_worker(settings, "heads", **{faults.SILENCE_VARIABLE: "reconciler"}) as worker,
    ):
        worker.wait_for(is_ready, "the heads to be ready")
        title = f"beside a null header {datetime.now(UTC).timestamp()}"
        created = event(
            InsightCreated(
                insight_id=aggregate_id("insight", "tests", title),
                title=title,
                creator="tests",
                created_at=datetime.now(UTC),
                series=[definition(title)],
                frames=2,
            )
        )
        key, value, headers = encode(created)
        nothing = (("x", None),)
        publisher.publish_all(
            [(Topic.INSIGHTS, key, value, headers), (Topic.INSIGHTS, b"1", b"{}", nothing)]  # type: ignore[list-item]
        )

        def planned() -> bool:
            found = events_on(settings, admin, [Topic.INSIGHTS])
            return any(isinstance(one.data, BackfillPlanned) and one.key == created.key for one in found)

        eventually(planned, "the plan of the insight beside it", timeout_s=WAIT_S)
        assert worker.process.poll() is None


def test_a_record_nested_too_deep_stops_no_projection(settings: Settings, publisher: Publisher) -> None:
    engine = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    reader = Reader(engine)
    with start_projector(settings) as projector:
        name = f"example.com/behind-the-deep/{datetime.now(UTC).timestamp()}"
        registered = event(
            RepositoryRegistered(repository_id=repository_id(name), name=name, path="/srv/nowhere")
        )
        key, value, headers = encode(registered)
        deep = b'{"specversion":"1.0","id":"a","source":"b","type":"x","ext":%b,"data":{}}' % (
            b"[" * 300 + b"]" * 300
        )
        structured = (("content-type", b"application/cloudevents+json"),)
        positions = publisher.publish_all(
            [(Topic.REPOSITORIES, key, deep, structured), (Topic.REPOSITORIES, key, value, headers)]
        )
        for projection in ("event_index", "repositories", "obligations"):
            assert reader.wait_for(projection, positions, WAIT_S), f"{projection} stands still"
        assert projector.process.poll() is None
    reader.close()
    engine.dispose()
