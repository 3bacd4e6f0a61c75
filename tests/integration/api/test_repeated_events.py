"""Events that are published twice, over HTTP: what the system says of the second one is what it does with it."""

from typing import Any

import orjson
from starlette.testclient import TestClient

from api.graphql.ids import user_node_id
from schemas.accounts.names import user_id
from schemas.ids import repository_id
from tests.integration.api.conftest import Api

NAME = "git.example.com/team/closed"
SOURCE = "//git.example.com/sync"


def posted(api: Api, event_id: str, *, restricted: bool) -> str:
    """The state of a change of permissions once it is judged."""
    return said(api, event_id, "permissions_changed", restricted=restricted, change=event_id)


def said(api: Api, event_id: str, kind: str, **data: object) -> str:
    """The state of an event of the repository once it is judged."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": f"millstream.repository.{kind}",
        "data": {"repository_id": repository_id(NAME), **data},
    }
    headers = {"authorization": f"token {api.token}", "content-type": "application/cloudevents+json"}
    assert api.http.post("/events", content=orjson.dumps(event), headers=headers).status_code == 202
    asked = {"source": SOURCE, "id": event_id, "wait": "10"}
    answer = api.http.get("/events", params=asked, headers=headers)
    state: str = answer.json()["state"]
    return state


def seen_by(http: TestClient, token: str) -> bool:
    query = f'{{ repository(name: "{NAME}") {{ id }} }}'
    answer: Any = http.post(
        "/graphql", json={"query": query}, headers={"authorization": f"token {token}"}
    ).json()
    return answer["data"]["repository"] is not None


def test_an_old_permission_that_is_published_again_opens_nothing(api: Api) -> None:
    api.ask(f'mutation {{ addRepository(input: {{ name: "{NAME}", path: "/p" }}) {{ position }} }}')
    api.ask('mutation { createUser(username: "bob") { user { id } } }')
    made = api.ask(
        'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["read"], note: "n") { token } }',
        {"id": user_node_id(user_id("bob"))},
    )
    bob = made["createAccessToken"]["token"]
    assert posted(api, "perm-a", restricted=False) == "ACCEPTED"
    assert seen_by(api.http, bob)
    assert posted(api, "perm-b", restricted=True) == "ACCEPTED"
    assert not seen_by(api.http, bob)
    assert posted(api, "perm-a", restricted=False) == "DUPLICATE"
    assert not seen_by(api.http, bob)


def test_a_push_that_is_published_again_is_applied_and_said_to_be(api: Api) -> None:
    api.ask(f'mutation {{ addRepository(input: {{ name: "{NAME}", path: "/p" }}) {{ position }} }}')

    def push(event_id: str, commit: str) -> str:
        return said(api, event_id, "pushed", default_branch="main", tip=commit * 40, refs_fingerprint=commit)

    assert push("push-a", "a") == "ACCEPTED"
    assert push("push-b", "b") == "ACCEPTED"
    assert push("push-a", "a") == "ACCEPTED", "it is no DUPLICATE, of which we say that it changed nothing"
