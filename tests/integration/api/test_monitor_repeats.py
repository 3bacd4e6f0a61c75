"""An edit of a code monitor that is asked for twice with one key changes it once, whatever became of the monitor since."""

from typing import Any, Final

import pytest

from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.integration.api.test_mutations import records

CREATE: Final = """
mutation C($user: ID!) {
  createCodeMonitor(
    monitor: { namespace: $user, description: "d", enabled: true }, trigger: { query: "type:diff TODO" },
    actions: [{ webhook: { enabled: true, includeResults: false, url: "https://hooks.example.com/1" } }]
  ) { id actions { nodes { ... on MonitorWebhook { id } } } }
}"""
UPDATE: Final = """
mutation U($id: ID!, $user: ID!, $query: String!, $enabled: Boolean!, $actions: [MonitorEditActionInput!]!) {
  updateCodeMonitor(
    monitor: { id: $id, update: { namespace: $user, description: "d", enabled: $enabled } },
    trigger: { update: { query: $query } }, actions: $actions
  ) { id enabled trigger { ... on MonitorQuery { query } }
      actions { nodes { ... on MonitorWebhook { id url signingSecret } } } }
}"""
TOGGLE: Final = "mutation ($id: ID!, $on: Boolean!) { toggleCodeMonitor(id: $id, enabled: $on) { enabled } }"


def hook(url: str, action: str | None = None) -> dict[str, Any]:
    return {"webhook": {"id": action, "update": {"enabled": True, "includeResults": False, "url": url}}}


@pytest.fixture
def given(api: Api) -> dict[str, Any]:
    """The input of an edit that says the monitor as it is, with another action beside its own."""
    user = api.ask("{ currentUser { id } }")["currentUser"]["id"]
    made = api.ask(CREATE, {"user": user})["createCodeMonitor"]
    actions = [hook("", made["actions"]["nodes"][0]["id"]), hook("https://hooks.example.com/2")]
    return {
        "id": made["id"],
        "user": user,
        "query": "type:diff TODO",
        "enabled": True,
        "actions": actions,
    }


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
