"""Uploads beside others: what waits stops nobody, nobody deletes what somebody else sent, and they leave with their repository."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson
import pytest

from api.graphql.ids import upload_node_id
from infra.blobs import BlobStore
from infra.drafts import Drafts
from infra.kafka.producer import Publisher
from projections.reading import Reader
from schemas.events import (
    RepositoryRegistered,
    RepositoryRemoved,
    UploadDescription,
    UploadState,
    UploadStateChanged,
)
from schemas.ids import repository_id, upload_id
from tests.integration.api.conftest import Api
from tests.integration.api.questions import say
from tests.integration.api.uploading import (
    DELETE,
    NAME,
    PATH,
    SCIP,
    Service,
    answering,
    in_state,
    post,
    row,
    state,
    states,
    uploaded,
)
from tests.support.projectors import eventually
from tests.support.scip import small_index
from tests.support.uploading import SHORT, uploads_led

LEAVING = "git.example.com/up/leaving"
WAITING = 2_100
"""More than the agent takes at a time."""
S = UploadState


@pytest.fixture(scope="module")
def follow(
    publisher: Publisher, tmp_path_factory: pytest.TempPathFactory, api: Api
) -> Callable[[str], Service]:
    """A repository that is registered, and whose clone is there."""

    def make(name: str) -> Service:
        folder = tmp_path_factory.mktemp("service")
        made = Service(folder, publisher, name)
        position = say(
            publisher, RepositoryRegistered(repository_id=repository_id(name), name=name, path=str(folder))
        )
        made.push()
        known = (
            "query K($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { id } }"
        )
        assert api.ask(known, {"name": name, "min": position})["repository"]
        return made

    return make


@pytest.fixture(scope="module")
def service(follow: Callable[[str], Service]) -> Service:
    return follow(NAME)


def token_of(api: Api, name: str) -> str:
    """Of a new account that may write."""
    made = api.ask(f'mutation {{ createUser(username: "{name}") {{ user {{ id }} }} }}')
    text = 'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["write"], note: "n") { token } }'
    token: str = api.ask(text, {"id": made["createUser"]["user"]["id"]})["createAccessToken"]["token"]
    return token


def test_only_who_sent_an_upload_or_an_admin_deletes_it_and_the_event_says_who(
    api: Api, service: Service
) -> None:
    ann, bob = token_of(api, "ann"), token_of(api, "bob")
    asked = {"repository": NAME, "commit": "e" * 40, "indexerName": "scip-test"}

    def sent_by(token: str) -> str:
        headers = {"authorization": f"token {token}", **SCIP}
        answer = api.http.post(PATH, params=asked, content=small_index(), headers=headers)
        assert answer.status_code == 202, answer.text
        number: str = answer.json()["id"]
        in_state(api, number, "QUEUED_FOR_PROCESSING")
        return number

    def deletes(token: str, number: str) -> Any:
        body = {"query": DELETE, "variables": {"id": upload_node_id(int(number))}}
        answer = api.http.post("/graphql", json=body, headers={"authorization": f"token {token}"}).json()
        return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None

    def is_offered(token: str, number: str) -> bool:
        page = f"/{NAME}/-/code-intelligence/uploads/{upload_node_id(int(number))}"
        answer = api.http.get(page, headers={"authorization": f"token {token}"})
        assert answer.status_code == 200
        return "Delete…" in answer.text

    hers, another = sent_by(ann), sent_by(ann)
    assert [is_offered(token, hers) for token in (ann, bob, api.token)] == [True, False, True]
    assert deletes(bob, hers) == "NOT_PERMITTED"
    assert state(api, hers)["state"] == "QUEUED_FOR_PROCESSING"
    assert deletes(ann, hers) is None
    assert deletes(api.token, another) is None
    assert [_deleted_by(api, number) for number in (hers, another)] == ["ann", "admin"]
    assert deletes(bob, sent_by(bob)) is None


def test_only_who_announced_an_upload_sends_its_parts_and_ends_it(api: Api, service: Service) -> None:
    hers, his = token_of(api, "sending"), token_of(api, "meddling")

    def sends(token: str, content: bytes = b"", **asked: object) -> tuple[int, str]:
        headers = {"authorization": f"token {token}", **SCIP}
        params = {name: str(value) for name, value in asked.items()}
        answer = api.http.post(PATH, params=params, content=content, headers=headers)
        found = answer.json() if answer.content else {}
        return answer.status_code, found.get("id", "") or found.get("message", "")

    _, number = sends(
        hers, repository=NAME, commit="d" * 40, indexerName="scip-test", multiPart="true", numParts=2
    )
    index = small_index()
    parts = index[:20], index[20:]
    assert sends(hers, parts[0], uploadId=number, index=0) == (204, "")
    nothing = sends(his, b"x", uploadId=int(number) + 1, index=0)
    assert nothing[0] == 404
    unknown = (404, nothing[1].replace(str(int(number) + 1), number))
    assert sends(his, b"not hers", uploadId=number, index=0) == unknown
    assert sends(his, uploadId=number, done="true") == unknown
    assert sends(api.token, parts[1], uploadId=number, index=1) == (204, "")
    assert sends(hers, uploadId=number, done="true") == (204, "")
    assert sends(hers, uploadId=number, done="true") == (204, "")
    assert sends(his, uploadId=number, done="true") == unknown
    in_state(api, number, "QUEUED_FOR_PROCESSING")


def _deleted_by(api: Api, number: str) -> str:
    text = "query P($id: ID!) { node(id: $id) { ... on PreciseIndex { state position } } }"
    found = api.ask(text, {"id": upload_node_id(int(number))})["node"]
    assert found["state"] == "DELETED"
    event = "query E($at: String!) { event(position: $at) { record { payload } } }"
    payload = orjson.loads(api.ask(event, {"at": found["position"]})["event"]["record"]["payload"])
    by: str = payload["changed_by"]
    return by


def test_thousands_that_wait_for_their_parts_stop_nothing_newer(
    api: Api, service: Service, publisher: Publisher
) -> None:
    now = datetime.now(UTC)
    described = UploadDescription(
        commit=service.commit(),
        root="",
        indexer="scip-test",
        format="scip",
        uploaded_by="ann",
        created_at=now,
    )
    earlier = now - timedelta(minutes=30)
    say(
        publisher,
        *(
            UploadStateChanged(
                upload_id=upload_id(earlier + timedelta(milliseconds=number), number),
                repository_id=repository_id(NAME),
                from_state=None,
                to_state=S.UPLOADING,
                reason="1 part announced",
                upload=described,
            )
            for number in range(WAITING)
        ),
    )
    there = "{ preciseIndexes(first: 1, states: [UPLOADING_INDEX]) { totalCount } }"
    assert eventually(lambda: api.ask(there)["preciseIndexes"]["totalCount"] >= WAITING)
    with uploads_led(api.settings):
        assert answering(api, uploaded(api, described.commit, small_index()))


def test_uploads_leave_after_their_repository(
    api: Api, follow: Callable[[str], Service], reader: Reader, publisher: Publisher
) -> None:
    asked = {"repository": LEAVING, "commit": follow(LEAVING).commit(), "indexerName": "scip-test"}
    drafts = Drafts(BlobStore(api.settings.effective_blob_url))

    def sent(content: bytes, **more: str) -> str:
        number: str = post(api, content, **asked, **more).json()["id"]
        return number

    with uploads_led(api.settings):
        complete = sent(small_index(), root="leaving")
        answering(api, complete)
        failed = sent(b"nonsense")
        in_state(api, failed, "PROCESSING_ERRORED")
    awaited = sent(b"", multiPart="true", numParts="2")
    in_state(api, awaited, "UPLOADING_INDEX")
    assert drafts.noted(awaited) is not None
    say(publisher, RepositoryRemoved(repository_id=repository_id(LEAVING)))
    numbers = (complete, failed, awaited)

    def all_deleted() -> bool:
        return all(row(reader, number).state == S.DELETED for number in numbers)

    with uploads_led(api.settings, msgspec.structs.replace(SHORT, removed_s=0.0)):
        assert eventually(all_deleted), [row(reader, number).state for number in numbers]
    assert drafts.noted(awaited) is None
    assert states(state(api, complete))[-3:] == ["completed", "deleting", "deleted"]
    reasons = [log["reason"] for log in state(api, complete)["auditLogs"]]
    assert "upload associated with repository not known to this instance" in reasons
