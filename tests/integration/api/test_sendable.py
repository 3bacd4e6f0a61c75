"""Actions that can never send say so when they are made; the local admin has an address by a setting."""

from starlette.testclient import TestClient

from api.app import create_app
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from streams.monitors.doors import open_doors
from tests.integration.api.conftest import BASE, Api

CREATE = """
mutation ($me: ID!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(
    monitor: { namespace: $me, description: "Told", enabled: true }, trigger: { query: "type:diff x" }, actions: $actions
  ) { actions { nodes {
    ... on MonitorEmail { cannotSend } ... on MonitorWebhook { cannotSend } ... on MonitorSlackWebhook { cannotSend }
  } } }
}"""
USER = "query ($name: String!) { user(username: $name) { id cannotBeMailed } }"


def with_address(settings: Settings) -> Settings:
    return settings.model_copy(update={"admin_email": "me@example.com", "smtp_host": "mail.example.com"})


def test_what_cannot_be_sent_is_said_when_it_is_made(api: Api) -> None:
    me = api.ask("{ currentUser { id cannotBeMailed } }")["currentUser"]
    assert "MILLSTREAM_SMTP_HOST" in me["cannotBeMailed"]
    assert "MILLSTREAM_ADMIN_EMAIL" in me["cannotBeMailed"]
    shared = {"enabled": True, "includeResults": True}
    actions = [
        {"email": {**shared, "priority": "NORMAL", "header": "", "recipients": [me["id"]]}},
        {"webhook": {**shared, "url": "http://127.0.0.1:9999/"}},
        {"webhook": {**shared, "url": "https://example.com/"}},
        {"slackWebhook": {**shared, "url": "https://hooks.slack.com/services/a"}},
    ]
    made = api.ask(CREATE, {"me": me["id"], "actions": actions})["createCodeMonitor"]
    mail, near, far, slack = (one["cannotSend"] for one in made["actions"]["nodes"])
    assert mail == me["cannotBeMailed"]
    assert "127.0.0.1, which is loopback" in near
    assert (far, slack) == (None, None)


def test_the_address_of_the_local_admin_is_a_setting(api: Api, reader: Reader) -> None:
    assert open_doors(api.settings, reader, Role.APP).address_of("admin") is None
    settings = with_address(api.settings)
    assert open_doors(settings, reader, Role.APP).address_of("admin") == "me@example.com"
    assert open_doors(settings, reader, Role.APP).address_of("nobody") is None
    with TestClient(create_app(settings), base_url=BASE) as http:
        answer = http.post(
            "/graphql",
            json={"query": USER, "variables": {"name": "admin"}},
            headers={"authorization": f"token {api.token}"},
        )
    assert answer.json()["data"]["user"]["cannotBeMailed"] is None


def test_who_has_no_address_is_told_to_site_admins_and_oneself_alone(api: Api) -> None:
    text = "mutation C($name: String!, $email: String) { createUser(username: $name, email: $email) { user { id } } }"
    ids = [
        api.ask(text, {"name": name, "email": email})["createUser"]["user"]["id"]
        for name, email in (("mute", None), ("told", "told@example.com"))
    ]
    assert "millstream user email mute" in api.ask(USER, {"name": "mute"})["user"]["cannotBeMailed"]
    assert "has no mail address" not in api.ask(USER, {"name": "told"})["user"]["cannotBeMailed"]
    token = api.ask(
        'mutation T($id: ID!) { createAccessToken(user: $id, scopes: ["user:all"], note: "t") { token } }',
        {"id": ids[1]},
    )["createAccessToken"]["token"]
    for name, is_told in (("told", True), ("mute", False)):
        answer = api.http.post(
            "/graphql",
            json={"query": USER, "variables": {"name": name}},
            headers={"authorization": f"token {token}"},
        )
        assert (answer.json()["data"]["user"]["cannotBeMailed"] is not None) is is_told
