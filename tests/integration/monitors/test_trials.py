"""Trying out an action: a message at once by the door of real ones, and nothing is kept of it."""

from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
import pytest

from api.auth.tokens import admin_token
from infra.postgres.role import Role
from tests.integration.monitors.conftest import World, webhook
from tests.support.system import eventually

_WEBHOOK = """
mutation ($user: ID!, $action: MonitorWebhookInput!, $about: String = "Keys") {
  triggerTestWebhookAction(namespace: $user, description: $about, webhook: $action) { alwaysNil } }"""
_SLACK = """
mutation ($user: ID!, $action: MonitorSlackWebhookInput!) {
  triggerTestSlackWebhookAction(namespace: $user, description: "Keys", slackWebhook: $action) { alwaysNil } }"""
_EMAIL = """
mutation ($user: ID!, $action: MonitorEmailInput!) {
  triggerTestEmailAction(namespace: $user, description: "Keys", email: $action) { alwaysNil } }"""
_RESET = "mutation ($id: ID!) { resetTriggerQueryTimestamps(id: $id) { alwaysNil } }"
_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def me(world: World) -> str:
    return str(world.graphql("{ currentUser { id } }")["currentUser"]["id"])


def refusal(world: World, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first error's extensions, and what it says."""
    answer = httpx.post(
        f"{world.url}/.api/graphql",
        json={"query": query, "variables": dict(variables)},
        headers={"Authorization": f"token {admin_token(world.settings.home)}"},
        timeout=30,
        trust_env=False,
    ).json()
    error = answer["errors"][0]
    return {"message": error["message"], **error["extensions"]}


def secrets_kept(world: World) -> int:
    with psycopg.connect(world.settings.dsn(Role.ADMIN)) as connection:
        row = connection.execute("select count(*) from vault.secrets").fetchone()
    assert row is not None
    return int(row[0])


def test_each_kind_of_action_is_tried_out_and_nothing_is_kept(world: World) -> None:
    user, kept = me(world), secrets_kept(world)
    told_before = len(world.mails.kept)
    action = {"enabled": True, "includeResults": True, "url": world.receiver.url("/trial")}
    world.graphql(_WEBHOOK, {"user": user, "action": action | {"signingSecret": _KEY}})
    (told,) = world.receiver.at("/trial")
    body = told.verified(_KEY)
    assert (body["monitorDescription"], body["query"]) == ("Keys", "test query")
    assert "results" not in body
    world.graphql(_SLACK, {"user": user, "action": action | {"url": world.receiver.url("/trial-slack")}})
    (chat,) = world.receiver.at("/trial-slack")
    assert chat.json()["text"] == "Test message for code monitor Keys."
    email = {
        "enabled": True,
        "includeResults": True,
        "priority": "CRITICAL",
        "header": "",
        "recipients": [user],
    }
    world.graphql(_EMAIL, {"user": user, "action": email})
    recipient, mail = eventually(lambda: world.mails.kept[told_before:], "the mail")[0]
    assert recipient == "admin@example.org"
    assert str(mail["Subject"]).startswith("Test: [Critical] Millstream code monitor Keys")
    assert secrets_kept(world) == kept


@pytest.mark.parametrize(
    ("url", "code", "field"),
    [
        ("http://169.254.169.254/latest", "REFUSED", None),
        ("ftp://example.com/x", "INVALID_INPUT", "webhook.url"),
        ("", "INVALID_INPUT", "webhook.url"),
    ],
)
def test_the_rules_of_addresses_hold_for_a_trial_too(
    world: World, url: str, code: str, field: str | None
) -> None:
    action = {"enabled": True, "includeResults": False, "url": url}
    found = refusal(world, _WEBHOOK, {"user": me(world), "action": action})
    assert (found["code"], found.get("field")) == (code, field)
    if code == "REFUSED":
        assert found["reason"] == "address-refused"
        assert found["message"] == "The message was not delivered: the URL leads to no public address."


def test_what_the_receiver_answers_is_said(world: World) -> None:
    world.receiver.answers["/trial-503"] = [(503, {})]
    action = {"enabled": True, "includeResults": False, "url": world.receiver.url("/trial-503")}
    found = refusal(world, _WEBHOOK, {"user": me(world), "action": action})
    assert (found["code"], found["reason"]) == ("REFUSED", "refused")


def test_an_admin_lets_the_trigger_look_now(world: World) -> None:
    repository = world.repository("reset")
    monitor = world.create("repo:reset type:diff TODO", [webhook(world.receiver.url("/reset"))])
    trigger = world.graphql(
        "query ($id: ID!) { node(id: $id) { ... on Monitor { trigger { ... on MonitorQuery { id } } } } }",
        {"id": monitor["id"]},
    )["node"]["trigger"]["id"]
    commit = repository.commit("TODO later\n")
    world.notify(repository)
    assert world.wait_run(monitor["id"])["results"][0]["commit"] == commit
    assert refusal(world, _RESET, {"id": monitor["id"]})["code"] == "INVALID_INPUT"
    before = _asked(world)
    world.graphql(_RESET, {"id": trigger})
    assert _asked(world) == before + 1


def test_every_recipient_of_a_mail_counts(world: World) -> None:
    create = "mutation ($name: String!) { createUser(username: $name) { user { id } } }"
    people = [world.graphql(create, {"name": f"trial-{n}"})["createUser"]["user"]["id"] for n in range(11)]
    told_before = len(world.mails.kept)
    email = {
        "enabled": True,
        "includeResults": False,
        "priority": "NORMAL",
        "header": "",
        "recipients": people,
    }
    found = refusal(world, _EMAIL, {"user": me(world), "action": email})
    assert (found["code"], found["limit"]) == ("LIMIT_EXCEEDED", "trials")
    assert "fewer recipients" in found["remedy"]
    assert len(world.mails.kept) == told_before


def test_who_tries_out_too_much_waits(world: World) -> None:
    """Last: it uses up what this minute allows."""
    action = {"enabled": True, "includeResults": False, "url": "http://169.254.169.254/latest"}
    variables = {"user": me(world), "action": action}
    codes = [refusal(world, _WEBHOOK, variables)["code"] for _ in range(11)]
    assert codes[-1] == "LIMIT_EXCEEDED"
    assert set(codes) == {"REFUSED", "LIMIT_EXCEEDED"}


def _asked(world: World) -> int:
    """How often somebody asked that a monitor look."""
    with psycopg.connect(world.settings.dsn(Role.ADMIN)) as connection:
        row = connection.execute(
            "select count(*) from event_index_g1.events where type = 'millstream.monitor.run_requested'"
        ).fetchone()
    assert row is not None
    return int(row[0])
