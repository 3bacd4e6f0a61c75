"""Accounts from the command to the gate: who gets in, how far, and for how long."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.login_links import make_login_link
from api.cli.main import cli
from api.graphql.ids import parse_node_id
from infra.logging import configure
from infra.settings import Settings
from schemas.accounts.names import LOCAL_ADMIN_ID, user_id
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.serving import served
from tests.support.projectors import eventually

ME = "{ currentUser { username siteAdmin emails { email } accessTokens { totalCount } } }"
GONE_S = 3.0
"""A second is promised, from the projection on; a machine under load gets some more."""


class Somebody:
    """The API as the bearer of a token asks it."""

    def __init__(self, http: TestClient, token: str) -> None:
        self.http, self.token = http, token

    def answer(self, text: str, variables: dict[str, object] | None = None, scheme: str = "token") -> Any:
        headers = {"authorization": f"{scheme} {self.token}"}
        return self.http.post("/graphql", json={"query": text, "variables": variables}, headers=headers)

    def data(self, text: str, **variables: object) -> Any:
        body = self.answer(text, variables).json()
        assert "errors" not in body, body
        return body["data"]

    def code(self, text: str, **variables: object) -> str:
        (error,) = self.answer(text, variables).json()["errors"]
        return str(error["extensions"]["code"])

    def is_in(self) -> bool:
        status: int = self.answer(ME).status_code
        return status == 200


def user(api: Api, name: str, **more: object) -> str:
    text = "mutation C($name: String!, $email: String) { createUser(username: $name, email: $email) { user { id } } }"
    made: str = api.ask(text, {"name": name, **more})["createUser"]["user"]["id"]
    return made


@pytest.fixture(scope="module", autouse=True)
def elsewhere() -> Iterator[None]:
    """What the API logs does not stand among what commands print."""
    configure("api", json=True, stream=io.StringIO())
    yield
    configure("tests")


@pytest.fixture(scope="module")
def bearer(api: Api) -> Callable[..., Somebody]:
    def make(node: str, *scopes: str, lasts: int | None = None) -> Somebody:
        text = (
            "mutation T($id: ID!, $scopes: [String!]!, $lasts: Int) "
            '{ createAccessToken(user: $id, scopes: $scopes, note: "test", durationSeconds: $lasts) { token } }'
        )
        made = api.ask(text, {"id": node, "scopes": list(scopes or ("user:all",)), "lasts": lasts})
        return Somebody(api.http, made["createAccessToken"]["token"])

    return make


def test_a_token_speaks_for_its_user_by_either_word(api: Api, bearer: Callable[..., Somebody]) -> None:
    ann = bearer(user(api, "ann", email="ann@example.com"))
    expected = {
        "username": "ann",
        "siteAdmin": False,
        "emails": [{"email": "ann@example.com"}],
        "accessTokens": {"totalCount": 1},
    }
    for scheme in ("token", "Bearer"):
        assert ann.answer(ME, scheme=scheme).json()["data"]["currentUser"] == expected
    assert api.ask(ME)["currentUser"]["username"] == "admin"
    other = "1" if ann.token.endswith("0") else "0"
    assert not Somebody(api.http, ann.token[:-1] + other).is_in()
    node = api.ask('{ user(username: "ANN") { id databaseID } }')["user"]
    assert parse_node_id(node["id"]) == ("User", str(user_id("ann")))
    assert parse_node_id(api.ask("{ currentUser { id } }")["currentUser"]["id"])[1] == str(LOCAL_ADMIN_ID)


def test_a_name_is_given_once(api: Api) -> None:
    node = user(api, "once")
    create = 'mutation { createUser(username: "Once") { user { id } } }'
    assert api.error(create)["extensions"]["code"] == "REJECTED"
    api.ask("mutation D($id: ID!) { deleteUser(user: $id) { alwaysNil } }", {"id": node})
    assert api.ask('{ user(username: "once") { id } }')["user"] is None
    assert api.error(create)["extensions"]["code"] == "REJECTED"
    assert (
        api.error('mutation { createUser(username: "admin") { user { id } } }')["extensions"]["code"]
        == "INVALID_INPUT"
    )


def test_scopes_hold(api: Api, bearer: Callable[..., Somebody]) -> None:
    node = user(api, "scoped")
    admin = "mutation A($id: ID!, $is: Boolean!) { setUserIsSiteAdmin(userID: $id, siteAdmin: $is) { alwaysNil } }"
    api.ask(admin, {"id": node, "is": True})
    reads, writes, administers = (bearer(node, scope) for scope in ("read", "write", "admin"))
    found = 'mutation { createOrganization(name: "%s") { id } }'
    assert reads.code(found % "one") == "NOT_PERMITTED"
    assert reads.http.post("/events", headers={"authorization": f"token {reads.token}"}).status_code == 403
    assert writes.data(found % "two")
    assert writes.code("{ users { totalCount } }") == "NOT_PERMITTED"
    assert writes.data(ME)["currentUser"]["siteAdmin"] is False
    assert administers.data("{ users { totalCount } }")["users"]["totalCount"] >= 1
    create = 'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["admin"], note: "n") { token } }'
    assert writes.code(create, id=node) == "NOT_PERMITTED"
    api.ask(admin, {"id": node, "is": False})
    assert eventually(lambda: "errors" in administers.answer("{ users { totalCount } }").json(), GONE_S)


def test_who_is_no_admin_has_what_is_his_own(api: Api, bearer: Callable[..., Somebody]) -> None:
    mine, other = user(api, "own"), user(api, "other", email="other@example.com")
    somebody = bearer(mine)
    seen = somebody.data(
        '{ user(username: "other") { username emails { email } accessTokens { totalCount } } }'
    )
    assert seen["user"] == {"username": "other", "emails": [], "accessTokens": {"totalCount": 0}}
    email = 'mutation E($id: ID!) { addUserEmail(user: $id, email: "a@b.example") { alwaysNil } }'
    assert somebody.code(email, id=other) == "NOT_PERMITTED"
    somebody.data(email, id=mine)
    token = 'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["read"], note: "n") { id token } }'
    assert somebody.code(token, id=other) == "NOT_PERMITTED"
    made = somebody.data(token, id=mine)["createAccessToken"]
    theirs = bearer(other)
    revoke = "mutation R($id: ID!) { deleteAccessToken(byID: $id) { alwaysNil } }"
    assert theirs.code(revoke, id=made["id"]) == "NOT_FOUND"
    somebody.data(revoke, id=made["id"])
    for forbidden in (
        'mutation { createUser(username: "x") { user { id } } }',
        'mutation { addRepository(input: { path: "/p" }) { position } }',
        'mutation { changeSiteSetting(key: "x") { position } }',
    ):
        assert somebody.code(forbidden) == "NOT_PERMITTED"


def test_what_was_taken_is_gone_within_a_second_or_so(api: Api, bearer: Callable[..., Somebody]) -> None:
    node = user(api, "leaving")
    one, two = bearer(node), bearer(node)
    assert one.is_in()
    assert two.is_in()
    api.ask("mutation R($t: String!) { deleteAccessToken(byToken: $t) { alwaysNil } }", {"t": one.token})
    assert eventually(lambda: not one.is_in(), GONE_S)
    assert two.is_in()
    api.ask("mutation D($id: ID!) { deleteUser(user: $id) { alwaysNil } }", {"id": node})
    assert eventually(lambda: not two.is_in(), GONE_S)


def test_a_token_expires(api: Api, bearer: Callable[..., Somebody]) -> None:
    brief = bearer(user(api, "brief"), lasts=2)
    began_s = time.monotonic()
    assert brief.is_in()
    assert eventually(lambda: not brief.is_in(), 2 + GONE_S)
    assert time.monotonic() - began_s > 1


def test_a_repeat_with_the_same_key_tells_the_same_token(api: Api) -> None:
    node = user(api, "again")
    text = (
        "mutation T($id: ID!, $lasts: Int = 60) "
        '{ createAccessToken(user: $id, scopes: ["read"], note: "n", durationSeconds: $lasts) { id token } }'
    )
    first, second = (api.ask(text, {"id": node}, key="k")["createAccessToken"] for _ in range(2))
    assert first == second
    for lasts in (3_600, None):
        refused = api.error(text, {"id": node, "lasts": lasts}, key="k")["extensions"]
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "Idempotency-Key")
    assert api.ask('{ user(username: "again") { accessTokens { totalCount } } }')["user"]["accessTokens"] == {
        "totalCount": 1
    }
    api.ask("mutation R($id: ID!) { deleteAccessToken(byID: $id) { alwaysNil } }", {"id": first["id"]})
    refused = api.error(text, {"id": node}, key="k")
    assert refused["extensions"]["code"] == "REFUSED", "a token that lets nobody in is no success"
    assert api.ask(text, {"id": node}, key="k2")["createAccessToken"]["token"] != first["token"]


def test_a_link_logs_its_user_in_until_the_account_is_closed(api: Api) -> None:
    node = user(api, "browsing")
    with TestClient(create_app(api.settings), base_url=BASE, follow_redirects=False) as browser:
        link = make_login_link(api.settings.home, BASE, user="browsing")
        answer = browser.get(link)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        me = browser.post("/graphql", json={"query": ME}, headers={"cookie": cookie, "x-csrf-token": "wrong"})
        assert me.status_code == 403
        assert browser.get("/repositories", headers={"cookie": cookie}).status_code == 200
        assert (
            browser.get("/site-admin/users", headers={"cookie": cookie, "accept": "text/html"}).status_code
            == 403
        )
        api.ask("mutation D($id: ID!) { deleteUser(user: $id) { alwaysNil } }", {"id": node})
        assert eventually(
            lambda: browser.get("/repositories", headers={"cookie": cookie}).status_code == 401, GONE_S
        )


def test_a_proxys_word_counts_from_its_address_alone(api: Api) -> None:
    user(api, "proxied")
    proxied = api.settings.model_copy(
        update={
            "auth_providers": ["proxy"],
            "auth_proxy_header": "X-Forwarded-User",
            "auth_proxy_addresses": ["10.1.2.3"],
        }
    )
    for address, name, status in (
        ("10.1.2.3", "proxied", 200),
        ("10.1.2.4", "proxied", 401),
        ("10.1.2.3", "nobody", 401),
        ("10.1.2.3", "admin", 401),
    ):
        with TestClient(create_app(proxied), base_url=BASE, client=(address, 5000)) as http:
            headers = {"x-forwarded-user": name}
            assert http.get("/repositories", headers=headers).status_code == status, (address, name)
            if status == 200:
                written = http.post("/graphql", json={"query": ME}, headers=headers)
                assert written.status_code == 403, (
                    "a browser sends the header too: the page's own token is needed"
                )


def test_organisations_are_seen_by_their_members(api: Api, bearer: Callable[..., Somebody]) -> None:
    ann, bob = bearer(user(api, "org-ann")), bearer(user(api, "org-bob"))
    org = ann.data(
        'mutation { createOrganization(name: "crew", displayName: "Crew") { id members { nodes { username } } } }'
    )
    made = org["createOrganization"]
    assert made["members"]["nodes"] == [{"username": "org-ann"}]
    look = '{ organization(name: "crew") { displayName } }'
    add = (
        'mutation A($id: ID!) { addUserToOrganization(organization: $id, username: "org-bob") { alwaysNil } }'
    )
    assert bob.data(look)["organization"] is None
    assert bob.code(add, id=made["id"]) == "NOT_FOUND"
    ann.data(add, id=made["id"])
    assert bob.data(look)["organization"] == {"displayName": "Crew"}
    remove = "mutation R($org: ID!, $user: ID!) { removeUserFromOrganization(user: $user, organization: $org) { alwaysNil } }"
    bob.data(remove, org=made["id"], user=bob.data("{ currentUser { id } }")["currentUser"]["id"])
    assert bob.data(look)["organization"] is None
    ann.data("mutation D($id: ID!) { deleteOrganization(organization: $id) { alwaysNil } }", id=made["id"])
    assert ann.data(look)["organization"] is None


def test_events_do_not_get_around_what_mutations_refuse(api: Api, bearer: Callable[..., Somebody]) -> None:
    ann = bearer(user(api, "posting"))

    def post(kind: str, data: dict[str, object]) -> tuple[int, str]:
        event = {
            "specversion": "1.0",
            "id": f"{kind}-{len(data)}",
            "source": "//ann",
            "type": kind,
            "data": data,
        }
        headers = {"authorization": f"token {ann.token}", "content-type": "application/cloudevents+json"}
        answer = ann.http.post("/events", content=orjson.dumps(event), headers=headers)
        return answer.status_code, answer.json().get("code", "")

    assert post(
        "millstream.repository.permissions_changed", {"repository_id": 1, "restricted": False, "change": "c"}
    ) == (403, "NOT_PERMITTED")
    assert post(
        "millstream.settings.changed",
        {"key": "insights.query.worker.rateLimit", "value": 1, "changed_by": "posting"},
    ) == (403, "NOT_PERMITTED")
    assert post(
        "millstream.user.admin_changed",
        {"user_id": user_id("posting"), "site_admin": True, "changed_by": "posting"},
    ) == (403, "TYPE_INTERNAL")
    insight = {"insight_id": 5, "title": "t", "created_at": "2026-11-01T00:00:00Z", "series": []}
    assert post("millstream.insight.created", {**insight, "creator": "admin"})[0] in (400, 403)


@pytest.fixture
def command(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """``millstream …`` against the API behind a socket."""
    with served(api) as (host, port):
        monkeypatch.setenv("MILLSTREAM_URL", f"http://{host}:{port}")
        monkeypatch.setenv("MILLSTREAM_TOKEN", api.token)
        monkeypatch.setenv("MILLSTREAM_HOME", str(api.settings.home))

        def run(*words: str, fails: bool = False, token: str = "") -> str:
            environ = {"MILLSTREAM_TOKEN": token} if token else {}
            done = CliRunner().invoke(cli, list(words), env=environ)
            assert (done.exit_code != 0) is fails, done.output
            return done.output

        yield run


def test_the_commands_do_the_whole_of_it(command: Callable[..., str], api: Api, settings: Settings) -> None:
    assert "the account is open, of a site admin" in command(
        "user", "create", "cli", "--email", "cli@example.com", "--admin"
    )
    assert "cli@example.com" in command("user", "list")
    assert "site admin no longer" in command("user", "demote", "cli")
    command("user", "create", "cli-two")
    token = command("token", "create", "cli-two", "--note", "n", "--scope", "write").strip()
    assert token.startswith("mst_")
    assert "/login?token=" in command("login", "--user", "cli-two")
    assert "there is no user 'cli-three'" in command("login", "--user", "cli-three", fails=True)
    command("org", "create", "cli-org")
    command("org", "add", "cli-org", "cli", "cli-two")
    assert "cli, cli-two" in command("org", "list")
    api.ask('mutation { addRepository(input: { name: "git.example.com/cli/app", path: "/p" }) { position } }')
    assert "seen by everybody" in command("repo", "permissions", "git.example.com/cli/app")
    shown = command("repo", "permissions", "git.example.com/cli/app", "--user", "cli", "--json")
    assert orjson.loads(shown)["usernames"] == ["cli"]
    # What a command says of a hidden repository is what it says of one that is not there.
    hidden, absent = (
        command("repo", "permissions", f"git.example.com/cli/{name}", fails=True, token=token).replace(
            name, "X"
        )
        for name in ("app", "nil")
    )
    assert hidden == absent
    assert "No repository is followed yet" in command("repo", "list", token=token)
    assert "git.example.com/cli/app" in command("repo", "list")
    command("repo", "permissions", "git.example.com/cli/app", "--everybody")
    assert "git.example.com/cli/app" in command("repo", "list", token=token)
    command("token", "revoke", token)
    assert "has no token" in command("token", "list", "cli-two")
    assert "closed" in command("user", "delete", "cli-two", "--yes")


def test_the_page_of_users(api: Api) -> None:
    with TestClient(create_app(api.settings), base_url=BASE) as browser:
        browser.get(make_login_link(api.settings.home, BASE))
        page = browser.get("/site-admin/users").text
        token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        made = browser.post("/site-admin/users", data={"csrf_token": token, "username": "paged", "email": ""})
        assert "paged" in made.text
        wrong = browser.post(
            "/site-admin/users", data={"csrf_token": token, "username": "No Name", "email": ""}
        )
        assert wrong.status_code == 422
        node = api.ask('{ user(username: "paged") { id } }')["user"]["id"]
        form = {"csrf_token": token, "id": node, "username": "paged", "scope": "read", "note": "page"}
        told = browser.post("/site-admin/users/token", data=form)
        text = told.text.partition('id="token-text">')[2].partition("<")[0]
        assert Somebody(api.http, text).is_in()
        assert told.headers["cache-control"] == "no-store"
        assert text not in browser.get("/site-admin/users").text
        assert (
            "site admin"
            in browser.post("/site-admin/users/promote", data={"csrf_token": token, "id": node}).text
        )


def test_help_of_the_commands_is_there() -> None:
    context = click.Context(cli)
    assert {"user", "token", "org", "vault"} <= set(cli.list_commands(context))
