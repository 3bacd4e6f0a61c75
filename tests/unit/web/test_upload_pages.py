"""Pages of uploads: lists, one upload in each of its moods, and what their addresses lead to."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from api.auth.user import User
from api.context import GraphQLAnswer
from api.graphql.ids import node_id, upload_node_id
from tests.unit.web.clients import client_of
from tests.unit.web.fixture import AS_OF, SHA, FixtureContext, Json

REPOSITORY = "git.example.com/shop/gateway"
ADDRESS = f"/{REPOSITORY}/-/code-intelligence/uploads"


def upload(**more: object) -> Json:
    return {
        "id": upload_node_id(7),
        "url": f"{ADDRESS}/{upload_node_id(7)}",
        "projectRoot": {"repository": {"name": REPOSITORY}},
        "inputCommit": SHA,
        "inputRoot": "web/",
        "inputIndexer": "scip-python",
        "indexer": {"version": "0.6.6"},
        "state": "COMPLETED",
        "stateReason": "3 documents were read",
        "uploadedAt": "2026-11-22T12:00:00Z",
        "uploadedBy": "admin",
        "queuedAt": "2026-11-22T12:00:01Z",
        "processingStartedAt": "2026-11-22T12:00:02Z",
        "processingFinishedAt": "2026-11-22T12:00:03Z",
        "failure": None,
        "failureDetails": None,
        "failedAttempts": 0,
        "retryAt": None,
        "placeInQueue": None,
        "visible": True,
        "replacedBy": None,
        "statistics": {
            "documents": 3,
            "symbols": 4,
            "occurrences": 1_500,
            "packages": 1,
            "uploadSize": "900",
            "uncompressedSize": "7000",
        },
        "auditLogs": [
            {
                "logTimestamp": "2026-11-22T12:00:01Z",
                "reason": "uploaded in one piece",
                "changedColumns": [{"column": "state", "old": None, "new": "queued"}],
                "position": "millstream.uploads/0@1",
            },
            {
                "logTimestamp": "2026-11-22T12:00:04Z",
                "reason": None,
                "changedColumns": [{"column": "published", "old": None, "new": "true"}],
                "position": "millstream.uploads/0@4",
            },
        ],
        "asOf": AS_OF,
        **more,
    }


class Context(FixtureContext):
    """Answers with these uploads."""

    def __init__(self, *uploads: Json) -> None:
        super().__init__()
        self.uploads = uploads

    async def execute_graphql(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        user: User,
        operation_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> GraphQLAnswer:
        name, given = query.split()[1].partition("(")[0], variables or {}
        self.asked.append((name, given))
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "RepositoryByName": lambda: {
                "repository": {"id": "r", "name": REPOSITORY} if given["name"] == REPOSITORY else None
            },
            "Uploads": lambda: {
                "preciseIndexes": {
                    "nodes": list(self.uploads),
                    "totalCount": len(self.uploads),
                    "pageInfo": {"endCursor": "c", "hasNextPage": True},
                    "asOf": AS_OF,
                }
            },
            "Upload": lambda: {"node": next(iter(self.uploads), None)},
            "DeleteUpload": lambda: {"deletePreciseIndex": {"alwaysNil": None}},
        }
        return GraphQLAnswer(data=answers[name]())


def test_lists_say_state_reason_and_where_more_is() -> None:
    waiting = upload(
        state="QUEUED_FOR_PROCESSING", stateReason="waits: <b>cloning</b>", visible=False, statistics=None
    )
    with client_of(Context(upload(), waiting)) as client:
        text = client.get(f"{ADDRESS}?q=scip").text
        assert "waits: &lt;b&gt;cloning&lt;/b&gt;" in text
        assert 'data-poll="1500"' in text
        assert "?after=c&amp;q=scip" in text
        assert client.get("/site-admin/code-intelligence/uploads").text.count(REPOSITORY) > 2
        assert client.get("/other/-/code-intelligence/uploads").status_code == 404
    with client_of(Context()) as client:
        assert f"millstream upload index.scip --repo {REPOSITORY}" in client.get(ADDRESS).text


@pytest.mark.parametrize("kind", ["SCIPUpload", "LSIFUpload"])
@pytest.mark.parametrize("key", [7, "7"])
def test_an_upload_is_found_by_the_links_of_all_clients(kind: str, key: int | str) -> None:
    context = Context(upload())
    with client_of(context) as client:
        for identity in (node_id(kind, key), node_id(kind, key).rstrip("=")):
            page = client.get(f"{ADDRESS}/{identity}")
            assert page.status_code == 200
            assert "1,500 occurrences" in page.text
            assert "uploaded in one piece" in page.text
            assert "data-poll" not in page.text
    assert {str(given["id"]) for name, given in context.asked if name == "Upload"} == {upload_node_id(7)}


def test_a_failure_says_document_and_byte_and_when_it_is_tried_again() -> None:
    failed = upload(
        state="PROCESSING_ERRORED",
        failure="the range ends before it begins",
        failureDetails={"code": "malformed-range", "document": "a<b.py", "byteOffset": "4711"},
        retryAt="2026-11-22T12:10:00Z",
        visible=False,
    )
    with client_of(Context(failed)) as client:
        text = client.get(f"{ADDRESS}/{upload_node_id(7)}").text
    assert "a&lt;b.py" in text
    assert "byte 4711" in text
    assert "tried again at" in text
    assert 'data-poll="1000"' in text


def test_other_addresses_lead_to_nothing() -> None:
    with client_of(Context(upload())) as client:
        assert client.get(f"{ADDRESS}/nonsense").status_code == 404
        assert client.get(f"{ADDRESS}/{node_id('Repository', 7)}").status_code == 404
        assert client.get(f"/another/-/code-intelligence/uploads/{upload_node_id(7)}").status_code == 404
    with client_of(Context()) as client:
        assert client.get(f"{ADDRESS}/{upload_node_id(7)}").status_code == 404


def test_the_button_deletes_and_leads_back() -> None:
    context = Context(upload())
    with client_of(context) as client:
        answer = client.post(f"{ADDRESS}/{upload_node_id(7)}/delete")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{ADDRESS}/{upload_node_id(7)}"
    assert ("DeleteUpload", {"id": upload_node_id(7)}) in context.asked
    with client_of(Context(upload(state="DELETED", visible=False))) as client:
        assert 'id="delete"' not in client.get(f"{ADDRESS}/{upload_node_id(7)}").text
