"""A code monitor that is made or edited twice with one key is made or changed once, whatever became of it since."""

from typing import Any, Final

import pytest

from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.integration.api.test_mutations import records

CREATE: Final = """
mutation C(
  $user: ID!, $description: String! = "d", $enabled: Boolean! = true, $query: String! = "type:diff TODO",
  $actions: [MonitorActionInput!]! = [{
    webhook: { enabled: true, includeResults: false, url: "https://hooks.example.com/1" }
  }]
) {
  createCodeMonitor(
    monitor: { namespace: $user, description: $description, enabled: $enabled }, trigger: { query: $query }, actions: $actions
  ) { id description actions { nodes { ... on MonitorWebhook { id signingSecret } } } }
}"""
UPDATE: Final = """
mutation U(
  $id: ID!, $user: ID!, $description: String! = "d", $query: String!, $enabled: Boolean!, $actions: [MonitorEditActionInput!]!
) {
  updateCodeMonitor(
    monitor: { id: $id, update: { namespace: $user, description: $description, enabled: $enabled } },
    trigger: { update: { query: $query } }, actions: $actions
  ) { id enabled trigger { ... on MonitorQuery { query } }
      actions { nodes { ... on MonitorWebhook { id url signingSecret } } } }
}"""
TOGGLE: Final = "mutation ($id: ID!, $on: Boolean!) { toggleCodeMonitor(id: $id, enabled: $on) { enabled } }"


def hook(url: str, action: str | None = None) -> dict[str, Any]:
    return {"webhook": {"id": action, "update": {"enabled": True, "includeResults": False, "url": url}}}


def new_hook(url: str) -> dict[str, Any]:
    return {"webhook": {"enabled": True, "includeResults": False, "url": url}}


def mail_to(*users: str) -> dict[str, Any]:
    told = {"enabled": True, "includeResults": False, "priority": "NORMAL", "header": ""}
    return {"email": {**told, "recipients": list(users)}}


@pytest.fixture
def user(api: Api) -> str:
    """The id of who asks."""
    return str(api.ask("{ currentUser { id } }")["currentUser"]["id"])


@pytest.fixture
def given(api: Api, user: str) -> dict[str, Any]:
    """The input of an edit that says the monitor as it is, with another action beside its own."""
    made = api.ask(CREATE, {"user": user})["createCodeMonitor"]
    actions = [hook("", made["actions"]["nodes"][0]["id"]), hook("https://hooks.example.com/2")]
    return {
        "id": made["id"],
        "user": user,
        "query": "type:diff TODO",
        "enabled": True,
        "actions": actions,
    }


def test_a_creation_can_be_repeated_whatever_became_of_the_monitor(api: Api, user: str) -> None:
    made = api.ask(CREATE, {"user": user}, key="make")["createCodeMonitor"]
    before = records(api, Topic.MONITORS)
    assert api.ask(CREATE, {"user": user}, key="make")["createCodeMonitor"] == made
    assert records(api, Topic.MONITORS) == before
    own = hook("", made["actions"]["nodes"][0]["id"])
    edit = {"id": made["id"], "user": user, "query": "type:commit TODO", "enabled": False, "actions": [own]}
    api.ask(UPDATE, {**edit, "description": "edited"})
    again = api.ask(CREATE, {"user": user}, key="make")["createCodeMonitor"]
    assert again == {**made, "description": "edited"}


def test_a_key_names_one_creation(api: Api, user: str) -> None:
    ann = api.ask('mutation { createUser(username: "ann") { user { id } } }')["createUser"]["user"]["id"]
    url = "https://hooks.example.com/1"
    wish = {"user": user, "actions": [new_hook(url), mail_to(user)]}
    api.ask(CREATE, wish, key="one")
    before = records(api, Topic.MONITORS)
    for other in (
        {"description": "other"},
        {"query": "type:diff other"},
        {"enabled": False},
        {"actions": [new_hook("https://hooks.example.com/2"), mail_to(user)]},
        {"actions": [new_hook(url), mail_to(user, ann)]},
        {"actions": [new_hook(url)]},
    ):
        refused = api.error(CREATE, {**wish, **other}, key="one")["extensions"]
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "Idempotency-Key"), other
    assert records(api, Topic.MONITORS) == before


def test_keys_that_nobody_gave_are_different_ones(api: Api, user: str) -> None:
    wish = {"user": user, "actions": [new_hook("https://hooks.example.com/1")] * 2}
    kept = [
        one["signingSecret"]
        for key in (None, None, "three", "four")
        for one in api.ask(CREATE, wish, key=key)["createCodeMonitor"]["actions"]["nodes"]
    ]
    assert len(set(kept)) == 8


@pytest.mark.parametrize(
    "changed", [{}, {"query": "type:diff FIXME", "enabled": False}], ids=["as it is", "changed"]
)
def test_an_edit_can_be_repeated_and_puts_nothing_more_on_the_log(
    api: Api, given: dict[str, Any], changed: dict[str, Any]
) -> None:
    wish, key = {**given, **changed}, f"edit-{given['id']}"
    first = api.ask(UPDATE, wish, key=key)["updateCodeMonitor"]
    before = records(api, Topic.MONITORS)
    assert api.ask(UPDATE, wish, key=key)["updateCodeMonitor"] == first
    other = api.error(UPDATE, {**wish, "query": "type:diff other"}, key=key)["extensions"]
    assert (other["code"], other["field"]) == ("INVALID_INPUT", "Idempotency-Key")
    other = api.error(UPDATE, {**wish, "enabled": not wish["enabled"]}, key=key)["extensions"]
    assert (other["code"], other["field"]) == ("INVALID_INPUT", "Idempotency-Key")
    assert records(api, Topic.MONITORS) == before


def test_a_repeat_after_another_edit_undoes_nothing(api: Api, given: dict[str, Any]) -> None:
    key = f"edit-{given['id']}"
    api.ask(UPDATE, given, key=key)
    later = {**given, "query": "type:commit later", "actions": [hook("https://hooks.example.com/3")]}
    edited = api.ask(UPDATE, later)["updateCodeMonitor"]
    assert api.ask(TOGGLE, {"id": given["id"], "on": False})["toggleCodeMonitor"] == {"enabled": False}
    again = api.ask(UPDATE, given, key=key)["updateCodeMonitor"]
    assert again == {**edited, "enabled": False}
