"""Canaries: secrets and addresses go in by every way that takes one, and are looked for everywhere outside the vault. None is there."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from graphql import GraphQLInputObjectType, get_named_type
from graphql.type import GraphQLInputType
from psycopg import sql
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.tokens import admin_token
from api.graphql.schema import executable_schema
from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.logging import configure
from infra.metrics import exposition
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import Vaults, user_subject
from schemas.accounts.names import user_id
from schemas.events import REGISTRY
from schemas.jsonschema import path_of
from schemas.privacy import classed_fields
from schemas.topics import Topic
from tests.integration.api.arguments import PUBLIC, SENSITIVE
from tests.integration.api.conftest import BASE
from tests.stack import StackUnderTest
from tests.support.projectors import ProjectorProcess, eventually, projector_running
from tests.unit.schemas.files import GOLDEN

EMAILS = [f"canary-{number}@leaks.example" for number in range(4)]
NAMES = ["Canary Quxwell", "Canary Zyxford"]
PASSWORDS = ["canary-password-1", "canary-password-2", "canary-password-3", "canary-password-4"]

CREATE = """
mutation C($name: String!, $email: String, $display: String) {
  createUser(username: $name, email: $email, displayName: $display) { user { id displayName emails { email } } }
}
"""
CREATE_MONITOR = """
mutation M($user: ID!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(
    monitor: { namespace: $user, description: "d", enabled: true }, trigger: { query: "type:diff TODO" }, actions: $actions
  ) {
    id actions { nodes { ... on MonitorWebhook { id } ... on MonitorSlackWebhook { id } } }
  }
}
"""
UPDATE_MONITOR = """
mutation M($id: ID!, $user: ID!, $actions: [MonitorEditActionInput!]!) {
  updateCodeMonitor(
    monitor: { id: $id, update: { namespace: $user, description: "d", enabled: true } },
    trigger: { update: { query: "type:diff TODO" } }, actions: $actions
  ) { id }
}
"""

TRY_WEBHOOK = """
mutation T($user: ID!, $action: MonitorWebhookInput!) {
  triggerTestWebhookAction(namespace: $user, description: "d", webhook: $action) { alwaysNil }
}
"""
TRY_SLACK = """
mutation T($user: ID!, $action: MonitorSlackWebhookInput!) {
  triggerTestSlackWebhookAction(namespace: $user, description: "d", slackWebhook: $action) { alwaysNil }
}
"""


class Place:
    """The API, what its process and the projector log, and everybody's answers."""

    def __init__(
        self, settings: Settings, http: TestClient, logged: io.StringIO, projector: ProjectorProcess
    ) -> None:
        self.settings, self._http, self.logged, self.projector = settings, http, logged, projector
        self._headers = {"authorization": f"token {admin_token(settings.home)}"}
        self.needles = [*EMAILS, *NAMES, *PASSWORDS]

    def ask(self, text: str, variables: dict[str, object], key: str | None = None) -> Any:
        headers = self._headers | ({"idempotency-key": key} if key else {})
        return self._http.post(
            "/graphql", json={"query": text, "variables": variables}, headers=headers
        ).json()

    def data(self, text: str, variables: dict[str, object], key: str | None = None) -> Any:
        answer = self.ask(text, variables, key)
        assert "errors" not in answer, answer
        return answer["data"]

    def post(self, event: object) -> int:
        headers = self._headers | {"content-type": "application/cloudevents+json"}
        status: int = self._http.post("/events", content=orjson.dumps(event), headers=headers).status_code
        return status


@pytest.fixture(scope="module")
def place(settings: Settings) -> Iterator[Place]:
    logged = io.StringIO()
    configure("api", json=True, level="debug", stream=logged)
    with (
        projector_running(settings, environ={"MILLSTREAM_LOG_LEVEL": "debug"}) as projector,
        TestClient(create_app(settings), base_url=BASE) as http,
    ):
        assert eventually(lambda: http.get("/readyz").status_code == 200)
        yield Place(settings, http, logged, projector)
    configure("tests")


def paths(path: str, kind: GraphQLInputType) -> Iterator[str]:
    named = get_named_type(kind)
    if isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            yield from paths(f"{path}.{name}", field.type)
    else:
        yield path


def test_every_argument_of_a_mutation_is_classified() -> None:
    mutations = executable_schema().mutation_type
    assert mutations is not None
    found = {
        path
        for name, field in mutations.fields.items()
        for argument, one in field.args.items()
        for path in paths(f"{name}.{argument}", one.type)
    }
    assert found >= SENSITIVE
    unknown = {one for one in found - SENSITIVE if one not in PUBLIC and one.rpartition(".")[2] not in PUBLIC}
    assert not unknown, "say of each whether it may hold a secret or what is personal"


@pytest.fixture(scope="module")
def published(place: Place) -> Place:
    """Every canary has gone in by every way that takes one."""
    ann = place.data(CREATE, {"name": "ann", "email": EMAILS[0], "display": NAMES[0]}, "k-1")["createUser"][
        "user"
    ]
    again = place.data(CREATE, {"name": "ann", "email": EMAILS[0], "display": NAMES[0]}, "k-1")["createUser"][
        "user"
    ]
    assert ann == again
    assert (ann["displayName"], ann["emails"]) == (NAMES[0], [{"email": EMAILS[0]}])
    assert "errors" in place.ask(CREATE, {"name": "ann", "email": EMAILS[1], "display": NAMES[1]})
    place.data(
        "mutation E($id: ID!, $to: String!) { addUserEmail(user: $id, email: $to) { alwaysNil } }",
        {"id": ann["id"], "to": EMAILS[2]},
    )
    assert "errors" in place.ask(
        "mutation R($id: ID!, $to: String!) { removeUserEmail(user: $id, email: $to) { alwaysNil } }",
        {"id": ann["id"], "to": EMAILS[3]},
    )
    renamed = place.data(
        "mutation U($id: ID!, $to: String!) { updateUser(user: $id, displayName: $to) { displayName emails { email } } }",
        {"id": ann["id"], "to": NAMES[1]},
    )["updateUser"]
    assert renamed == {"displayName": NAMES[1], "emails": [{"email": EMAILS[2]}]}
    _tokens(place, ann["id"])
    _clone_urls(place)
    _monitors(place, ann["id"])
    _events(place)
    return place


def _tokens(place: Place, user: str) -> None:
    create = 'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["read"], note: "n") { token } }'
    kept, revoked = (
        place.data(create, {"id": user}, key)["createAccessToken"]["token"] for key in ("k-2", None)
    )
    assert place.data(create, {"id": user}, "k-2")["createAccessToken"]["token"] == kept
    place.data(
        "mutation D($token: String!) { deleteAccessToken(byToken: $token) { alwaysNil } }", {"token": revoked}
    )
    place.needles += [kept, revoked]


def _monitors(place: Place, user: str) -> None:
    """Addresses and signing keys of actions, given at once and given anew."""
    urls = [f"https://hooks.example.com/{number}/canary-hook-{number}" for number in range(2)]
    slack = [f"https://hooks.slack.com/services/canary-slack-{number}" for number in range(2)]
    keys = [
        "whsec_" + base64.b64encode(b"canary signing key of the webhook, %d" % number).decode()
        for number in range(2)
    ]
    place.needles += [*urls, *slack, *keys, *("canary-hook-", "canary-slack-")]
    webhook = {"enabled": True, "includeResults": False, "url": urls[0], "signingSecret": keys[0]}
    made = place.data(
        CREATE_MONITOR,
        {
            "user": user,
            "actions": [
                {"webhook": webhook},
                {"slackWebhook": {"enabled": True, "includeResults": False, "url": slack[0]}},
            ],
        },
        "k-3",
    )["createCodeMonitor"]
    ids = [one["id"] for one in made["actions"]["nodes"]]
    anew = [
        {"webhook": {"id": ids[0], "update": webhook | {"url": urls[1], "signingSecret": keys[1]}}},
        {
            "slackWebhook": {
                "id": ids[1],
                "update": {"enabled": True, "includeResults": False, "url": slack[1]},
            }
        },
    ]
    place.data(UPDATE_MONITOR, {"id": made["id"], "user": user, "actions": anew})
    # Tried out: refused before anything goes out, by its address and by its host.
    url, chat = "http://127.0.0.1:9/canary-hook-trial", "http://127.0.0.1:9/canary-slack-trial"
    refused = place.ask(TRY_WEBHOOK, {"user": user, "action": webhook | {"url": url}})["errors"][0]
    assert refused["extensions"]["code"] == "REFUSED", refused
    slack_action = {"enabled": True, "includeResults": False, "url": chat}
    refused = place.ask(TRY_SLACK, {"user": user, "action": slack_action})["errors"][0]
    assert refused["extensions"]["code"] == "INVALID_INPUT", refused


def _clone_urls(place: Place) -> None:
    add = "mutation A($url: String!) { addRepository(input: { cloneUrl: $url }) { position } }"
    for url in (
        f"https://u:{PASSWORDS[0]}@git.example.com/a/b",
        f"https://git.example.com/a/b?token={PASSWORDS[0]}",
    ):
        assert "errors" in place.ask(add, {"url": url})


def _events(place: Place) -> None:
    """Through POST /events, whatever type it is: another field, clear text in a classed one, an attribute of the envelope."""
    for one in REGISTRY:
        body = orjson.loads(path_of(one, GOLDEN).read_bytes())
        event = {
            "specversion": "1.0",
            "id": f"leak-{one.name}",
            "source": "//test",
            "type": one.name,
            "dataschema": one.dataschema,
        }
        assert place.post(event | {"data": body | {"password": PASSWORDS[1]}}) in (400, 403)
        for field in classed_fields(one.payload):
            assert place.post(event | {"data": body | {field.path.removeprefix("$."): EMAILS[3]}}) in (
                400,
                403,
            )
    registered = {
        "specversion": "1.0",
        "id": "leak-url",
        "source": "//test",
        "type": "millstream.repository.registered",
        "data": {
            "repository_id": 1,
            "name": "a/b",
            "clone_url": f"https://u:{PASSWORDS[2]}@git.example.com/a/b",
        },
    }
    assert place.post(registered) == 400
    removed = registered | {"type": "millstream.repository.removed", "data": {"repository_id": 1}}
    for name in ("authorization", "cookie", "password", "apitoken", "email"):
        assert place.post(removed | {name: PASSWORDS[3]}) == 400


def _found(place: Place, data: bytes) -> list[str]:
    text = data.lower()
    return [
        one
        for one in place.needles
        if one.lower().encode() in text or one.lower().encode().hex().encode() in text
    ]


def test_no_topic_holds_a_canary(published: Place) -> None:
    read = 0
    with KafkaAdmin(published.settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in Topic
            for number, marks in admin.watermarks(topic.value).items()
            if marks.end > marks.start
        }
    with LogReader(published.settings, client_id="canaries") as reader:
        reader.assign(dict.fromkeys(ends, 0))
        while read < sum(ends.values()):
            records = reader.poll(1_000, 10.0)
            assert records, "the log ends before its end"
            for record in records:
                parts = [
                    record.key or b"",
                    record.value or b"",
                    *(b"%s=%s" % (n.encode(), v) for n, v in record.headers),
                ]
                assert not _found(published, b"\n".join(parts)), record.position
            read += len(records)
    assert read >= 7


def test_no_table_holds_a_canary(published: Place) -> None:
    """Dead letters with their original bytes among them, and the vault itself: there they are encrypted."""
    looked_at: set[str] = set()
    with psycopg.connect(published.settings.dsn(Role.ADMIN)) as connection:
        tables = connection.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("select t::text from {} t").format(sql.Identifier(schema, table))
            for (row,) in connection.execute(query):
                assert not _found(published, row.encode()), f"{schema}.{table}"
                looked_at.add(f"{schema}.{table}")
    assert {
        "vault.secrets",
        "vault.subject_keys",
        "accounts_g1.users",
        "accounts_g1.access_tokens",
    } <= looked_at


def test_no_log_file_or_blob_holds_a_canary(published: Place, lent_stack: StackUnderTest) -> None:
    assert len(published.logged.getvalue()) > 100
    assert not _found(published, published.logged.getvalue().encode())
    assert published.projector.lines
    assert not _found(published, orjson.dumps(published.projector.lines, default=str))
    files = [
        *published.settings.home.rglob("*"),
        *(one for one in lent_stack.home.rglob("*.log") if one.is_file()),
    ]
    for file in files:
        if file.is_file():
            assert not _found(published, Path(file).read_bytes()), file


def test_no_label_of_a_metric_holds_a_canary(published: Place) -> None:
    assert not _found(published, exposition())
    labels = set(re.findall(r'[{,]([a-z_]+)="', exposition().decode()))
    assert not labels & {"repository", "user", "name", "email", "token"}


def test_a_closed_account_leaves_nothing_personal_that_anybody_could_read(published: Place) -> None:
    """Last: it erases what the tests above look for."""
    number = user_id("ann")
    vaults = Vaults(published.settings, Role.APP)
    with psycopg.connect(published.settings.dsn(Role.ADMIN)) as connection:
        row = connection.execute(
            "select display_name, email_ref from accounts_g1.users where id = %s", (number,)
        ).fetchone()
    assert row is not None
    sealed, ref = row
    try:
        with vaults.open() as vault:
            assert vault.unseal(user_subject(number), sealed) == NAMES[1]
            assert vault.get(ref, kind="email") == EMAILS[2]
        node = published.data('{ user(username: "ann") { id } }', {})["user"]["id"]
        published.data("mutation D($id: ID!) { deleteUser(user: $id) { alwaysNil } }", {"id": node})
        with vaults.open() as vault:
            assert vault.unseal(user_subject(number), sealed) is None
        with psycopg.connect(published.settings.dsn(Role.ADMIN)) as connection:
            left = connection.execute("select count(*) from vault.secrets where kind = 'email'").fetchone()
        assert left == (0,), "the addresses before it were forgotten too"
    finally:
        vaults.close()
