"""Dead letters, redrives and drops over GraphQL, with rights that the app has for these questions alone."""

import base64
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import OPERATOR, Role
from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.support.projectors import eventually

LIST = """
query List($filter: DeadLetterFilter, $first: Int, $after: String) {
  deadLetters(filter: $filter, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id kind projection position aggregate reason path sizeBytes waiting behind }
  }
}
"""
SHOW = """
query Show($id: ID!) {
  deadLetter(id: $id) {
    entry { position } key { base64 text } value { base64 text size } headers { name value { text } } trace waitingPositions
  }
}
"""
DROP = """
mutation Drop($positions: [String!]!, $reason: String!, $dryRun: Boolean) {
  dropRecords(projection: "settings", positions: $positions, reason: $reason, dryRun: $dryRun) {
    position done dryRun outcomes { state position reason }
  }
}
"""
DECISIONS = 'query { operatorDecisions(projection: "settings", first: 1) { nodes { position kind reason orderedBy items } } }'


def listed(api: Api, **more: object) -> Any:
    return api.ask(LIST, {"filter": {"projections": ["settings"]}, **more})["deadLetters"]


def test_dead_letters_are_paged_shown_and_dropped(api: Api, publisher: Publisher) -> None:
    bad = [
        publisher.publish_raw(Topic.SETTINGS.value, b"k%d" % n, b"\xff\x00no json %d" % n, (("ce_id", b"x"),))
        for n in range(3)
    ]
    assert eventually(lambda: listed(api)["totalCount"] == 3)
    first = listed(api, first=2)
    assert [one["position"] for one in first["nodes"]] == [str(bad[2]), str(bad[1])]
    second = listed(api, first=2, after=first["pageInfo"]["endCursor"])
    assert [one["position"] for one in second["nodes"]] == [str(bad[0])]
    assert not second["pageInfo"]["hasNextPage"]
    assert second["nodes"][0]["kind"] == "DEAD_LETTER"
    shown = api.ask(SHOW, {"id": second["nodes"][0]["id"]})["deadLetter"]
    assert base64.b64decode(shown["value"]["base64"]) == b"\xff\x00no json 0"
    assert shown["value"]["text"] is None
    assert shown["key"]["text"] == "k0"
    assert shown["headers"] == [{"name": "ce_id", "value": {"text": "x"}}]

    given = {"positions": [str(bad[0])], "reason": "noise of a test"}
    rehearsed = api.ask(DROP, {**given, "dryRun": True})["dropRecords"]
    assert rehearsed["outcomes"] == [{"state": "DROPPED", "position": str(bad[0]), "reason": ""}]
    assert listed(api)["totalCount"] == 3
    dropped = api.ask(DROP, given, key="drop-once")["dropRecords"]
    assert dropped["done"]
    assert [one["state"] for one in dropped["outcomes"]] == ["DROPPED"]
    assert api.ask(DROP, given, key="drop-once")["dropRecords"]["position"] == dropped["position"]
    assert listed(api)["totalCount"] == 2
    (decided,) = api.ask(DECISIONS)["operatorDecisions"]["nodes"]
    assert decided == {
        "position": dropped["position"],
        "kind": "drop",
        "reason": "noise of a test",
        "orderedBy": "admin",
        "items": 1,
    }


def test_what_was_folded_cannot_be_dropped(api: Api) -> None:
    change = 'mutation { changeSiteSetting(key: "insights.query.worker.concurrency", value: 3) { position } }'
    position = api.ask(change)["changeSiteSetting"]["position"]
    error = api.error(DROP, {"positions": [position], "reason": "why not"})
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert "neither a dead letter nor in quarantine" in error["message"]


def test_nothing_queued_is_said(api: Api) -> None:
    mutation = """mutation { redriveAggregates(projection: "settings", dryRun: true,
        aggregates: [{topic: "millstream.settings", partition: 0, aggregate: "nobody"}]) { done outcomes { state aggregate } } }"""
    found = api.ask(mutation)["redriveAggregates"]
    assert found == {"done": True, "outcomes": [{"state": "NOTHING_WAITS", "aggregate": "nobody"}]}


def test_the_app_reads_foreign_bytes_only_as_the_operator(api: Api) -> None:
    app = engine(api.settings, Role.APP)
    try:
        with app.connect() as connection:
            schema = connection.scalar(
                text("select schema_name from runtime.generations where projection = 'settings'")
            )
            for column in ("dead_letters", "quarantine", "carried_out"):
                with pytest.raises(ProgrammingError, match="permission denied"):
                    connection.execute(text(f"select reason from {schema}.{column}"))
                connection.rollback()
            connection.execute(text(f"set local role {OPERATOR}"))
            connection.execute(text(f"select value from {schema}.dead_letters"))
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(f"select * from {schema}.site_settings"))
    finally:
        app.dispose()
