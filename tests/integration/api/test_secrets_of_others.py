"""A reference into the vault is no permission: whoever writes another's into an event gets nothing out, and sends nothing there."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import psycopg
import pytest

from api.graphql import ids
from api.graphql.types.monitor_actions import HIDDEN
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from projections.monitors.queries import definitions
from projections.monitors.queries.definitions import Monitor
from projections.reading import Reader
from schemas.topics import Topic
from streams.monitors.delivery.carrier import Carrier, Parcel
from streams.monitors.delivery.message import Message
from streams.monitors.delivery.outcomes import Delivered, Outcome, Refused
from streams.monitors.doors import open_doors
from tests.integration.api.conftest import Api
from tests.integration.api.test_mutations import records
from tests.support.projectors import eventually
from tests.support.receiver import Receiver, receiving

CREATE: Final = """
mutation C($user: ID!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(
    monitor: { namespace: $user, description: "d", enabled: true },
    trigger: { query: "type:diff TODO" }, actions: $actions
  ) { id actions { nodes { ... on MonitorWebhook { url signingSecret } } } }
}"""
ACTIONS: Final = (
    "query ($id: ID!) { node(id: $id) { ... on Monitor { actions { nodes { ... on MonitorWebhook { url signingSecret } "
    "... on MonitorSlackWebhook { url } } } } } }"
)


class User:
    """The API as a user asks it who is no site admin."""

    def __init__(self, api: Api, name: str) -> None:
        self.name, self._http = name, api.http
        made = "mutation C($name: String!) { createUser(username: $name) { user { id } } }"
        self.id: str = api.ask(made, {"name": name})["createUser"]["user"]["id"]
        token = (
            'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["user:all"], note: "n") { token } }'
        )
        self._headers = {
            "authorization": f"token {api.ask(token, {'id': self.id})['createAccessToken']['token']}"
        }

    def ask(self, text: str, **variables: object) -> Any:
        body = self._http.post(
            "/graphql", json={"query": text, "variables": variables}, headers=self._headers
        ).json()
        assert "errors" not in body, body
        return body["data"]

    def publish(self, kind: str, data: dict[str, object]) -> tuple[int, str]:
        status, body = self.answer(kind, data)
        return status, orjson.loads(body).get("code", "")

    def answer(self, kind: str, data: dict[str, object]) -> tuple[int, str]:
        """Status and body of what ``POST /events`` says."""
        return self.post(self.event(kind, data))

    def event(self, kind: str, data: dict[str, object]) -> dict[str, object]:
        return {
            "specversion": "1.0",
            "id": f"{kind}-{data}"[:60],
            "source": "//test",
            "type": kind,
            "data": data,
        }

    def post(self, events: object) -> tuple[int, str]:
        many = "-batch" if isinstance(events, list) else ""
        headers = self._headers | {"content-type": f"application/cloudevents{many}+json"}
        answer = self._http.post("/events", content=orjson.dumps(events), headers=headers)
        return answer.status_code, answer.text

    def actions(self, monitor_id: int) -> list[dict[str, str]]:
        """What the user reads of these actions; empty before they are projected."""
        node = self.ask(ACTIONS, id=ids.node_id(ids.MONITOR, monitor_id))["node"]
        return [] if node is None else node["actions"]["nodes"]


@pytest.fixture(scope="module")
def users(api: Api) -> tuple[User, User]:
    return User(api, "ann"), User(api, "bob")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def bobs(users: tuple[User, User], receiver: Receiver) -> int:
    """Bob's monitor, made as people make them."""
    _, bob = users
    hook = {"enabled": True, "includeResults": False, "url": receiver.url("/bob")}
    made = bob.ask(CREATE, user=bob.id, actions=[{"webhook": hook}])["createCodeMonitor"]
    (action,) = made["actions"]["nodes"]
    assert action["url"] == hook["url"]
    assert action["signingSecret"].startswith("whsec_")
    return ids.monitor_id_of(made["id"])


def refs(api: Api, monitor_id: int) -> tuple[str, str]:
    with psycopg.connect(api.settings.dsn(Role.ADMIN)) as connection:
        row = connection.execute(
            "select url_ref, signing_ref from monitors_g1.cm_webhooks where monitor = %s", (monitor_id,)
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def monitor(number: int, owner: str, *, kind: str = "webhook", **places: str) -> dict[str, object]:
    named = {name: {"ref": ref, "fingerprint": "f", "host": "127.0.0.1"} for name, ref in places.items()}
    return {
        "monitor_id": number,
        "description": "d",
        "owner": owner,
        "created_at": "2026-11-01T00:00:00Z",
        "query": "type:diff TODO",
        "actions": [{"action_id": 1, "kind": kind, **named}],
    }


def carried(api: Api, monitor_id: int) -> Outcome:
    """What becomes of a delivery of the monitor's action, by the carrier of the workers."""
    settings = api.settings.model_copy(update={"action_allowed_hosts": ["127.0.0.1"]})
    database = make_engine(settings, Role.WORKER, pool_size=2, name="test")
    reader = Reader(database)
    try:
        with reader.snapshot(("monitors",)) as snapshot:
            found = definitions.by_ids(snapshot.connection, [monitor_id])[monitor_id]
        carrier = Carrier.of(settings, open_doors(settings, reader, Role.WORKER))
        return asyncio.run(carrier.carry(parcel(found)))
    finally:
        reader.close()
        database.dispose()


def parcel(found: Monitor) -> Parcel:
    return Parcel(
        message=Message(
            monitor_id=found.id, job_id=1, description="d", owner=found.owner, query=found.query, count=1,
            results=None, external_url="https://millstream.example",
        ),
        action=found.actions[0],
        recipient="",
        delivery_id="delivery",
        at=datetime.now(UTC),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["webhook", "slack_webhook"])
def test_a_monitor_that_names_anothers_secrets_neither_shows_them_nor_sends_there(
    api: Api, users: tuple[User, User], bobs: int, receiver: Receiver, kind: str
) -> None:
    ann, bob = users
    url, signing = refs(api, bobs)
    number = 71 if kind == "webhook" else 72
    named = {"url": url, "signing": signing} if kind == "webhook" else {"url": url}
    assert ann.publish("millstream.monitor.created", monitor(number, "ann", kind=kind, **named))[0] == 202
    assert eventually(lambda: bool(ann.actions(number)), 20.0)
    (seen,) = ann.actions(number)
    assert set(seen.values()) == {HIDDEN}
    before = len(receiver.told)
    outcome = carried(api, number)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.is_final) == ("secret-missing", True)
    assert len(receiver.told) == before
    (his,) = bob.actions(bobs)
    assert his["url"] == receiver.url("/bob")
    assert isinstance(carried(api, bobs), Delivered)
    assert receiver.told[-1].verified(his["signingSecret"])


def test_a_secret_of_ones_own_is_given_out_as_what_it_was_kept_for_alone(
    api: Api, users: tuple[User, User], bobs: int
) -> None:
    _, bob = users
    url, signing = refs(api, bobs)
    swapped = monitor(73, "bob", url=signing, signing=url)
    assert bob.publish("millstream.monitor.created", swapped)[0] == 202
    assert eventually(lambda: bool(bob.actions(73)), 20.0)
    assert set(bob.actions(73)[0].values()) == {HIDDEN}
    assert isinstance(carried(api, 73), Refused)


@pytest.mark.parametrize(
    ("kind", "author"),
    [("millstream.monitor.deleted", "deleted_by"), ("millstream.monitor.run_requested", "requested_by")],
)
def test_nobody_speaks_in_anothers_name(users: tuple[User, User], bobs: int, kind: str, author: str) -> None:
    _, bob = users
    for name in ("admin", "ann", ""):
        assert bob.publish(kind, {"monitor_id": bobs, author: name}) == (403, "NOT_PERMITTED")
    if author == "requested_by":
        assert bob.publish(kind, {"monitor_id": bobs, author: "bob"})[0] == 202


def test_a_monitor_of_somebody_else_is_answered_like_one_that_nobody_made(
    api: Api, users: tuple[User, User], bobs: int
) -> None:
    ann, bob = users
    before = records(api, Topic.MONITORS)
    for kind, more in (
        (
            "updated",
            {"description": "d", "actions": monitor(bobs, "ann", url="u")["actions"], "changed_by": "ann"},
        ),
        ("toggled", {"enabled": False, "changed_by": "ann"}),
        ("deleted", {"deleted_by": "ann"}),
        ("run_requested", {"requested_by": "ann"}),
    ):
        answers = [
            ann.answer(f"millstream.monitor.{kind}", {"monitor_id": number, **more})
            for number in (bobs, bobs + 1)
        ]
        said = {(status, body.replace(str(bobs + n), "N")) for n, (status, body) in enumerate(answers)}
        assert {status for status, _ in said} == {404}, said
        assert len(said) == 1, said
    assert records(api, Topic.MONITORS) == before, "nothing was published"
    own = {"monitor_id": bobs, "enabled": True, "changed_by": "bob"}
    assert bob.publish("millstream.monitor.toggled", own)[0] == 202
    made = monitor(9_901, "ann", url="u")
    off = {"monitor_id": 9_901, "enabled": False, "changed_by": "ann"}
    batch = [ann.event("millstream.monitor.created", made), ann.event("millstream.monitor.toggled", off)]
    assert ann.post(batch)[0] == 202, "who makes it may go on with it in one request"
