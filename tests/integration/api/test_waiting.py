"""Writes that cannot be read yet say so, and can be waited for; stores that are gone are said to be gone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.tokens import admin_token
from api.graphql.ids import repository_node_id
from api.graphql.limits import OperationLimits
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.generations import ensure_generation
from schemas.envelope import Position
from schemas.ids import repository_id
from schemas.topics import Topic
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.questions import ADD, CREATE, definition
from tests.integration.api.test_mutations import records
from tests.support.projectors import eventually, projector_running

SEEN = "query Seen($id: ID!, $min: [String!]) { node(id: $id, minPosition: $min) { ... on InsightView { title } } }"

WATCH = """
mutation Watch($user: ID!) {
  createCodeMonitor(
    monitor: { namespace: $user, description: "d", enabled: true }, trigger: { query: "type:diff TODO" },
    actions: [{ webhook: { enabled: true, includeResults: false, url: "https://hooks.example.com/1" } }]
  ) { id }
}"""


@pytest.fixture(scope="module")
def impatient(settings: Settings) -> Iterator[Api]:
    """An API that waits half a second, over generations that nobody fills yet."""
    engine = make_engine(settings, Role.PROJECTOR, pool_size=2)
    for projection in PROJECTIONS:
        ensure_generation(engine, projection)
    engine.dispose()
    app = create_app(settings, limits=OperationLimits(wait_s=0.5))
    with TestClient(app, base_url=BASE) as http:
        yield Api(app, http, admin_token(settings.home), settings)


def test_what_is_not_projected_in_time_is_named_and_can_be_waited_for(
    impatient: Api, settings: Settings
) -> None:
    given = {"input": definition("Slow", "slow")}
    error = impatient.error(CREATE, given, key="slow-1")
    extensions = error["extensions"]
    assert extensions["code"] == "ACCEPTED_NOT_YET_VISIBLE"
    identity, position = extensions["id"], extensions["position"]
    assert Position.parse(position).topic == "millstream.insights"
    assert extensions["state"] == "PENDING"
    added = impatient.error(ADD, {"input": {"path": "/srv/slow"}})["extensions"]
    assert (added["code"], added["id"]) == (
        "ACCEPTED_NOT_YET_VISIBLE",
        repository_node_id(repository_id("local/srv/slow")),
    )

    assert impatient.ask(SEEN, {"id": identity})["node"] is None
    waited = impatient.error(SEEN, {"id": identity, "min": [position]})
    assert waited["extensions"]["code"] == "NOT_YET_APPLIED"
    assert waited["extensions"]["positions"] == [position]

    patient = create_app(settings, limits=OperationLimits(wait_s=60))
    with TestClient(patient, base_url=BASE) as http, projector_running(settings):
        api = Api(patient, http, admin_token(settings.home), settings)
        assert api.ask(SEEN, {"id": identity, "min": [position]})["node"] == {"title": "Slow"}
        again = api.ask(CREATE, given, key="slow-1")["createLineChartSearchInsight"]
        assert (again["view"]["id"], again["position"]) == (identity, position)


def test_a_monitor_that_is_asked_for_again_before_the_first_wish_is_projected_is_one_monitor(
    impatient: Api, settings: Settings
) -> None:
    given = {"user": impatient.ask("{ currentUser { id } }")["currentUser"]["id"]}
    first = impatient.error(WATCH, given, key="watch-1")["extensions"]
    assert first["code"] == "ACCEPTED_NOT_YET_VISIBLE"
    before = records(impatient, Topic.MONITORS)
    patient = create_app(settings, limits=OperationLimits(wait_s=60))
    with TestClient(patient, base_url=BASE) as http, ThreadPoolExecutor(1) as thread:
        api = Api(patient, http, admin_token(settings.home), settings)
        again = thread.submit(api.ask, WATCH, given, key="watch-1")
        assert eventually(lambda: records(impatient, Topic.MONITORS) == before + 1)
        with projector_running(settings):
            assert again.result(60)["createCodeMonitor"] == {"id": first["id"]}


def test_a_broker_that_is_gone_is_said_to_be_gone(settings: Settings) -> None:
    """Nothing listens on that port: it is reserved (discard)."""
    without_kafka = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9", "publish_timeout_s": 1.0})
    app = create_app(without_kafka)
    with TestClient(app, base_url=BASE) as http:
        api = Api(app, http, admin_token(settings.home), settings)
        answer = api.post(CREATE, {"input": definition("Lost", "lost")})
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        ready = http.get("/readyz")
        assert ready.status_code == 503
        parts = ready.json()["parts"]
        assert parts["kafka"]["ready"] is False
        assert parts["postgres"]["ready"] is True
        assert parts["projections"]["ready"] is True
        assert http.get("/healthz").status_code == 200
