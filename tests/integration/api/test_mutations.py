"""Mutations over real Kafka and PostgreSQL: judged, repeated, refused, and what a lost answer does (nothing)."""

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from api.graphql.ids import insight_node_id, repository_node_id
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from schemas.envelope import Position
from schemas.events import InsightCreated, InsightDeleted, SeriesDefinition
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, aggregate_id, repository_id, series_id
from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.integration.api.questions import CREATE, definition, say
from tests.integration.api.serving import served
from tests.support.projectors import eventually

ADD = "mutation Add($input: AddRepositoryInput!) { addRepository(input: $input) { position repository { id name } } }"
DELETE = "mutation Delete($id: ID!) { deleteInsightView(id: $id) { alwaysNil } }"
REMOVE = "mutation Remove($id: ID!) { removeRepository(repository: $id) { alwaysNil } }"
RENAME = """
mutation Rename($id: ID!, $name: String!) {
  renameRepository(repository: $id, name: $name) { position repository { id name } }
}
"""
UPDATE = """
mutation Update($id: ID!, $input: UpdateRepositoryInput!) {
  updateRepository(repository: $id, input: $input) { position repository { isFork isArchived isPrivate } }
}
"""
COUNT = "query Count($find: String) { insightViews(find: $find) { totalCount } }"


def added(api: Api, name: str) -> str:
    """A repository's node id."""
    given = {"input": {"name": name, "cloneUrl": f"https://{name}.git"}}
    return str(api.ask(ADD, given)["addRepository"]["repository"]["id"])


def records(api: Api, topic: Topic) -> int:
    """How many records are on a topic."""
    with KafkaAdmin(api.settings) as admin:
        return sum(mark.end - mark.start for mark in admin.watermarks(topic).values())


def written(api: Api, query: str, variables: Mapping[str, object], *, key: str | None = None) -> Any:
    """What the answer says that it wrote."""
    body = api.post(query, variables, key=key).json()
    assert "errors" not in body, body["errors"]
    return body["extensions"]["written"]


def test_an_answer_says_how_fresh_it_is_and_what_was_written(api: Api) -> None:
    body = api.post(CREATE, {"input": definition("Fresh", "fresh")}).json()
    (wrote,) = body["extensions"]["written"]
    assert (wrote["state"], wrote["version"]) == ("ACCEPTED", 1)
    assert wrote["position"] == body["data"]["createLineChartSearchInsight"]["position"]
    assert {"insights", "series_points"} <= set(body["extensions"]["freshness"])
    assert body["extensions"]["freshness"]["insights"]["appliedUpTo"]
    asked = api.post("{ repositories { totalCount } }").json()["extensions"]
    assert set(asked) == {"freshness"}
    assert "extensions" not in api.post("{ site { productVersion } }").json()


def test_create_the_answer_lost_create_again_one_insight(api: Api) -> None:
    """A client that hangs up before the answer, and asks again with the same key."""
    body = orjson.dumps({"query": CREATE, "variables": {"input": definition("Lost answer", "lost")}})
    before = records(api, Topic.INSIGHTS)
    with served(api) as address:
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(
                b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"authorization: token " + api.token.encode() + b"\r\nidempotency-key: lost-1\r\n"
                b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            # The fault has to fire: the write is on the log when the connection is cut, and nobody read the answer.
            assert eventually(lambda: records(api, Topic.INSIGHTS) == before + 1)
        again = api.ask(CREATE, {"input": definition("Lost answer", "lost")}, key="lost-1")
    view = again["createLineChartSearchInsight"]["view"]
    assert api.ask(COUNT, {"find": "Lost answer"})["insightViews"]["totalCount"] == 1
    third = api.ask(CREATE, {"input": definition("Lost answer", "lost")}, key="lost-1")
    assert third["createLineChartSearchInsight"]["view"]["id"] == view["id"]


def test_a_repeat_that_meets_the_guard_alone_is_a_duplicate(api: Api) -> None:
    """Two at once with one key: neither sees the other at the edge, the log knows that they are one."""
    given = {"input": definition("At once", "once")}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: api.post(CREATE, given, key="at-once").json(), range(4)))
    assert all("errors" not in one for one in answers), answers
    assert len({one["data"]["createLineChartSearchInsight"]["view"]["id"] for one in answers}) == 1
    assert len({one["data"]["createLineChartSearchInsight"]["position"] for one in answers}) == 1
    states = sorted(wrote["state"] for one in answers for wrote in one["extensions"].get("written", ()))
    assert states.count("ACCEPTED") == 1
    assert api.ask(COUNT, {"find": "At once"})["insightViews"]["totalCount"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"description": "other"},
        {"frames": 3},
        {"options": {"title": "Another"}},
        {"dataSeries": [{"query": "b", "options": {"label": "a"}}]},
    ],
)
def test_a_key_names_one_request(api: Api, other: dict[str, object]) -> None:
    given = {"input": definition("Keyed", "a")}
    first = api.ask(CREATE, given, key="body-1")["createLineChartSearchInsight"]["view"]["id"]
    refused = api.error(CREATE, {"input": {**given["input"], **other}}, key="body-1")["extensions"]
    assert (refused["code"], refused["field"], refused["id"]) == ("INVALID_INPUT", "Idempotency-Key", first)


def test_two_creations_in_one_request_have_keys_of_their_own(api: Api) -> None:
    both = """
      mutation Both($a: LineChartSearchInsightInput!, $b: LineChartSearchInsightInput!) {
        first: createLineChartSearchInsight(input: $a) { view { id } }
        second: createLineChartSearchInsight(input: $b) { view { id } }
      }
    """
    given = {"a": definition("Both A", "a"), "b": definition("Both B", "b")}
    once = api.ask(both, given, key="both-1")
    assert once == api.ask(both, given, key="both-1")
    assert once["first"]["view"]["id"] != once["second"]["view"]["id"]


def test_a_deleted_insight_is_found_nowhere(api: Api) -> None:
    given = {"input": definition("Condemned", "doomed")}
    identity = api.ask(CREATE, given, key="doomed-1")["createLineChartSearchInsight"]["view"]["id"]
    keeper = api.ask(CREATE, {"input": definition("Keeper", "doomed")})["createLineChartSearchInsight"][
        "view"
    ]
    (wrote,) = written(api, DELETE, {"id": identity}, key="delete-1")
    assert (wrote["state"], wrote["version"]) == ("ACCEPTED", 2)
    assert api.ask("query N($id: ID!) { node(id: $id) { id } }", {"id": identity})["node"] is None
    found = api.ask(
        "query V($id: ID!) { insightViews(id: $id) { nodes { id } totalCount } }", {"id": identity}
    )
    assert found["insightViews"] == {"nodes": [], "totalCount": 0}
    assert api.ask(COUNT, {"find": "Condemned"})["insightViews"]["totalCount"] == 0
    series = "query S($id: ID!) { insightViews(id: $id) { nodes { dataSeriesDefinitions { ... on SearchInsightDataSeriesDefinition { query } } } } }"
    (kept,) = api.ask(series, {"id": keeper["id"]})["insightViews"]["nodes"]
    assert kept["dataSeriesDefinitions"] == [{"query": "doomed"}]

    before = records(api, Topic.INSIGHTS)
    (again,) = written(api, DELETE, {"id": identity}, key="delete-1")
    assert (again["position"], again["version"]) == (wrote["position"], 2)
    gone = api.error(DELETE, {"id": identity}, key="delete-2")["extensions"]
    assert (gone["code"], gone["field"]) == ("NOT_FOUND", "id")
    assert records(api, Topic.INSIGHTS) == before, "nothing was published"
    other = api.error(DELETE, {"id": keeper["id"]}, key="delete-1")["extensions"]
    assert (other["code"], other["field"]) == ("INVALID_INPUT", "Idempotency-Key")
    # The key's insight was deleted: it does not come back by itself.
    assert api.error(CREATE, given, key="doomed-1")["extensions"]["code"] == "NOT_FOUND"


def test_what_does_not_exist_is_refused_before_anything_is_published(api: Api) -> None:
    nobody, nothing = repository_node_id(5), insight_node_id(5)
    before = records(api, Topic.REPOSITORIES), records(api, Topic.INSIGHTS)
    for query, variables in (
        (DELETE, {"id": nothing}),
        (REMOVE, {"id": nobody}),
        (RENAME, {"id": nobody, "name": "git.example.com/x"}),
        (UPDATE, {"id": nobody, "input": {"fork": True}}),
    ):
        assert api.error(query, variables)["extensions"]["code"] == "NOT_FOUND"
    assert api.error(REMOVE, {"id": nothing})["extensions"]["code"] == "INVALID_INPUT"
    assert (records(api, Topic.REPOSITORIES), records(api, Topic.INSIGHTS)) == before


def test_the_rule_decides_what_the_courtesy_check_cannot_see(api: Api, publisher: Publisher) -> None:
    """A key whose insight somebody else made and deleted: the edge sees none, the rule knows that its id was used."""
    insight_id = aggregate_id("insight", "admin", "ruled-1")
    line = series_id(SeriesIdentity(query="ruled"))
    made = InsightCreated(
        insight_id=insight_id,
        title="Ruled",
        creator="admin",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        series=[SeriesDefinition(series_id=line, label="r", query="ruled", unit=TimeUnit.MONTH, value=1)],
    )
    positions = say(publisher, made, InsightDeleted(insight_id=insight_id))
    node = "query N($id: ID!, $min: [String!]) { node(id: $id, minPosition: $min) { id } }"
    assert api.ask(node, {"id": insight_node_id(insight_id), "min": positions})["node"] is None
    error = api.error(CREATE, {"input": definition("Ruled", "ruled")}, key="ruled-1")
    assert (error["extensions"]["code"], error["extensions"]["reasonCode"]) == ("REJECTED", "deleted")
    assert "deleted" in error["message"]
    assert Position.parse(error["extensions"]["position"]).topic == Topic.INSIGHTS


def test_a_repository_is_renamed_described_and_removed(api: Api) -> None:
    identity = added(api, "git.example.com/changing")
    renamed = api.ask(RENAME, {"id": identity, "name": "Git.Example.com/changed.git"})["renameRepository"]
    assert renamed["repository"] == {"id": identity, "name": "git.example.com/changed"}
    taken = added(api, "git.example.com/taken")
    assert taken != identity
    refused = api.error(RENAME, {"id": identity, "name": "git.example.com/taken"})["extensions"]
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "name")
    assert api.error(RENAME, {"id": identity, "name": "nothing"})["extensions"]["field"] == "name"

    changed = api.ask(UPDATE, {"id": identity, "input": {"archived": True}})["updateRepository"]["repository"]
    assert changed == {"isFork": False, "isArchived": True, "isPrivate": False}
    assert api.error(UPDATE, {"id": identity, "input": {}})["extensions"]["field"] == "input"

    (wrote,) = written(api, REMOVE, {"id": identity}, key="remove-1")
    assert wrote["version"] == 4
    assert written(api, REMOVE, {"id": identity}, key="remove-1")[0]["position"] == wrote["position"]
    assert api.ask('{ repository(name: "git.example.com/changed") { id } }')["repository"] is None
    assert api.error(REMOVE, {"id": identity})["extensions"]["code"] == "NOT_FOUND"
    # The first name fixes the id: adding it again brings it back, under that name.
    assert added(api, "git.example.com/changing") == identity


def test_adding_with_a_key_is_once_and_for_one_repository(api: Api) -> None:
    def given(name: str, **more: object) -> dict[str, object]:
        return {"input": {"name": name, "cloneUrl": f"https://{name}.git", **more}}

    first = api.ask(ADD, given("git.example.com/once"), key="add-1")["addRepository"]
    assert api.ask(ADD, given("git.example.com/once"), key="add-1")["addRepository"] == first
    assert first["repository"]["id"] == repository_node_id(repository_id("git.example.com/once"))
    for other in (given("git.example.com/elsewhere"), given("git.example.com/once", fork=True)):
        refused = api.error(ADD, other, key="add-1")["extensions"]
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "Idempotency-Key")
    assert api.ask('{ repository(name: "git.example.com/elsewhere") { id } }')["repository"] is None


def test_what_may_surprise_in_a_query_is_told_when_the_insight_is_made(api: Api) -> None:
    query = """
      mutation Create($input: LineChartSearchInsightInput!) {
        createLineChartSearchInsight(input: $input) { notices { field query message } }
      }
    """
    given = {"input": definition("Surprising", "plain", "nosuch:field", "foo AND")}
    notices = api.ask(query, given)["createLineChartSearchInsight"]["notices"]
    assert [(one["field"], one["query"]) for one in notices] == [
        ("dataSeries[1].query", "nosuch:field"),
        ("dataSeries[2].query", "foo AND"),
    ]
    assert "searched for as text" in notices[0]["message"]
