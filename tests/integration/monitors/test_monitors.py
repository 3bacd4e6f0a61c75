"""From a real push to a real receiver: who is told what, once, and what the history says of it."""

import json
import os
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from infra.kafka.admin import KafkaAdmin
from infra.topics import HEADS_APP
from tests.integration.monitors.conftest import World, webhook
from tests.support.doors import deny
from tests.support.receiver import Told
from tests.support.repositories import git
from tests.support.spawning import millstream_text
from tests.support.system import eventually

_TOGGLE = "mutation ($id: ID!, $on: Boolean!) { toggleCodeMonitor(id: $id, enabled: $on) { enabled } }"
_UPDATE = """
mutation ($m: MonitorEditInput!, $t: MonitorEditTriggerInput!, $a: [MonitorEditActionInput!]!) {
  updateCodeMonitor(monitor: $m, trigger: $t, actions: $a) { id description } }"""
ROUNDS = 5


def signing_key(monitor: Any) -> str:
    return str(monitor["actions"]["nodes"][0]["signingSecret"])


def test_a_push_reaches_webhook_mail_and_slack_and_the_past_is_not_told(world: World) -> None:
    repository = world.repository("whole")
    monitor = world.create(
        "repo:whole type:diff select:commit.diff.added TODO",
        [
            webhook(world.receiver.url("/whole")),
            {"email": {"enabled": True, "includeResults": True, "priority": "CRITICAL", "header": "Look.", "recipients": []}},
            {"slackWebhook": {"enabled": True, "includeResults": True, "url": world.receiver.url("/slack")}},
        ],
        description="TODOs",
    )  # fmt: skip
    repository.commit("nothing\n")
    commit = repository.commit("nothing\nTODO <now>\n", message="more to do")
    world.notify(repository)
    (told,) = eventually(lambda: world.receiver.at("/whole"), "the webhook", timeout_s=40)
    body = told.verified(signing_key(monitor))
    with pytest.raises(WebhookVerificationError):
        told.verified("whsec_" + "A" * 43 + "=")
    assert (body["monitorDescription"], body["query"]) == ("TODOs", monitor["trigger"]["query"])
    assert body["monitorURL"].startswith(f"https://millstream.example/code-monitoring/{monitor['id']}?")
    (result,) = body["results"]
    assert (result["repository"], result["commit"]) == ("monitors.test/whole", commit)
    assert [result["diff"][first:end] for first, end in result["matchedDiffRanges"]] == ["TODO"]
    ((recipient, mail),) = eventually(lambda: world.mails.kept, "the mail", timeout_s=20)
    assert recipient == "admin@example.org"
    assert str(mail["Subject"]).startswith("[Critical] Millstream code monitor TODOs detected 1 new result")
    kinds = {part.get_content_type() for part in mail.walk()}
    assert {"text/plain", "text/html"} <= kinds
    (slack,) = eventually(lambda: world.receiver.at("/slack"), "the message to Slack", timeout_s=20)
    assert "TODO &lt;now&gt;" in str(slack.json()["blocks"])

    def settled() -> Any:
        run = world.wait_run(monitor["id"])
        sent = [one for action in run["actions"]["nodes"] for one in action["events"]["nodes"]]
        return run if len(sent) == 3 and all(one["status"] == "SUCCESS" for one in sent) else None

    run = eventually(settled, "three outcomes", timeout_s=20)
    assert (run["cause"], run["resultCount"], run["commitCount"]) == ("push", 1, 1)
    assert run["results"][0]["diff"] == result["diff"]


def test_a_refused_delivery_comes_again_under_its_id_and_a_410_is_the_end(world: World) -> None:
    repository = world.repository("refusals")
    monitor = world.create("repo:refusals type:commit fix", [webhook(world.receiver.url("/refusals"))])
    world.receiver.answers["/refusals"] = [(503, {"Retry-After": "1"}), (200, {}), (410, {})]
    repository.commit("one\n", message="fix one")
    world.notify(repository)
    told = eventually(
        lambda: _at_least(world.receiver.at("/refusals"), 2), "the second attempt", timeout_s=60
    )
    assert len({one.delivery_id for one in told}) == 1
    assert all(one.verified(signing_key(monitor))["results"][0]["message"] == "fix one" for one in told)
    repository.commit("two\n", message="fix two")
    world.notify(repository)
    eventually(lambda: _at_least(world.receiver.at("/refusals"), 3), "the third", timeout_s=40)

    def disabled() -> str | None:
        node = world.graphql(
            "query ($id: ID!) { node(id: $id) { ... on Monitor { actions { nodes { ... on MonitorWebhook { enabled disabledReason } } } } } }",
            {"id": monitor["id"]},
        )["node"]["actions"]["nodes"][0]
        return None if node["enabled"] else str(node["disabledReason"])

    assert "410" in eventually(disabled, "the action to be disabled", timeout_s=20)
    repository.commit("three\n", message="fix three")
    world.notify(repository)
    assert world.wait_run(monitor["id"], 3)["resultCount"] == 1
    assert len(world.receiver.at("/refusals")) == 3


def test_a_monitor_runs_as_its_owner(world: World) -> None:
    repository = world.repository("secret")
    monitor = world.create("repo:secret type:diff TODO", [webhook(world.receiver.url("/secret"))])
    repository.commit("TODO hidden\n")
    deny(world.folder, ("admin", repository.id))
    world.notify(repository)
    run = world.wait_run(monitor["id"])
    assert (run["outcome"], run["resultCount"], run["results"]) == ("hidden", 0, [])
    deny(world.folder)
    seen = repository.commit("TODO hidden\nTODO seen\n")
    world.notify(repository)
    (told,) = eventually(lambda: world.receiver.at("/secret"), "the webhook", timeout_s=40)
    assert [one["commit"] for one in told.json()["results"]] == [seen]


def test_what_moves_a_position_and_what_does_not(world: World) -> None:
    repository = world.repository("edits")
    monitor = world.create("repo:edits type:diff TODO", [webhook(world.receiver.url("/edits"))])
    me = world.graphql("{ currentUser { id } }")["currentUser"]["id"]
    first = repository.commit("TODO 1\n")
    second = repository.commit("TODO 1\nTODO 2\n")  # pushed, and nobody has told yet

    def update(query: str, description: str) -> None:
        action = monitor["actions"]["nodes"][0]["id"]
        fields = {"enabled": True, "includeResults": True, "url": ""}
        world.graphql(
            _UPDATE,
            {
                "m": {
                    "id": monitor["id"],
                    "update": {"namespace": me, "description": description, "enabled": True},
                },
                "t": {"update": {"query": query}},
                "a": [{"webhook": {"id": action, "update": fields}}],
            },
        )

    update("repo:edits type:diff TODO", "another name")
    world.notify(repository)
    (told,) = eventually(lambda: world.receiver.at("/edits"), "the webhook", timeout_s=40)
    assert [one["commit"] for one in told.verified(signing_key(monitor))["results"]] == [second, first]
    assert told.json()["monitorDescription"] == "another name"
    world.graphql(_TOGGLE, {"id": monitor["id"], "on": False})
    repository.commit("TODO while it was off\n")
    world.notify(repository)
    third_push = world.repository("edits-witness")  # registered behind the push: the firer has passed it
    assert third_push.id
    world.graphql(_TOGGLE, {"id": monitor["id"], "on": True})
    after = repository.commit("TODO again\n")
    world.notify(repository)
    told = eventually(lambda: _at_least(world.receiver.at("/edits"), 2), "the second webhook", timeout_s=40)[
        1
    ]
    assert [one["commit"] for one in told.json()["results"]] == [after]


def test_a_force_push_tells_what_is_new_and_a_named_revision_begins_at_the_present(world: World) -> None:
    repository = world.repository("forced")
    git(repository.work, "push", "-q", "origin", "HEAD:side")
    default = world.create("repo:forced type:diff TODO", [webhook(world.receiver.url("/forced"))])
    named = world.create("repo:forced rev:side type:diff TODO", [webhook(world.receiver.url("/side"))])
    assert world.wait_run(named["id"])["cause"] == "begun"
    repository.commit("TODO that goes\n")
    world.notify(repository)
    eventually(lambda: world.receiver.at("/forced"), "the first webhook", timeout_s=40)
    git(repository.work, "reset", "-q", "--hard", "HEAD~1")
    (repository.work / "b.txt").write_text("TODO that stays\n")
    git(repository.work, "add", "b.txt")
    git(repository.work, "commit", "-q", "-m", "another")
    git(repository.work, "push", "-q", "--force", "origin", "HEAD:main", "HEAD:side")
    tip = git(repository.work, "rev-parse", "HEAD").decode().strip()
    world.notify(repository)
    forced = eventually(
        lambda: _at_least(world.receiver.at("/forced"), 2), "the second webhook", timeout_s=40
    )
    (side,) = eventually(lambda: world.receiver.at("/side"), "the other webhook", timeout_s=40)
    assert [one["commit"] for one in forced[1].json()["results"]] == [tip]
    assert [one["commit"] for one in side.json()["results"]] == [tip]
    git(repository.bare, "update-ref", "-d", "refs/heads/side")
    world.notify(repository)
    assert "no revision side" in str(world.wait_run(named["id"], 4)["warnings"])
    assert default["id"] != named["id"]


def test_senders_killed_between_sending_and_recording_repeat_under_one_id(world: World) -> None:
    repository = world.repository("killed")
    monitor = world.create("repo:killed type:diff TODO", [webhook(world.receiver.url("/killed"))])
    kills = 0

    def kill(told: Told) -> None:
        nonlocal kills
        if told.path == "/killed" and len(_ids(world)) > kills:
            kills += 1
            world.children["heads"].kill()

    world.receiver.on_request = kill
    commits = []
    for number in range(ROUNDS):
        commits.append(repository.commit(f"TODO {number}\n"))
        world.notify(repository)
        eventually(lambda: kills == number + 1, "the sender's death", timeout_s=60)  # noqa: B023
        before = len(world.receiver.at("/killed"))
        world.ready("heads")
        eventually(lambda: len(world.receiver.at("/killed")) > before, "the repeat", timeout_s=60)  # noqa: B023
    world.receiver.on_request = None
    told = world.receiver.at("/killed")
    by_id: dict[str, list[Told]] = {}
    for one in told:
        by_id.setdefault(one.delivery_id, []).append(one)
    assert len(by_id) == ROUNDS, "one delivery per event"
    assert all(len(ones) == 2 for ones in by_id.values()), (
        "each said twice: once by the dead, once by its heir"
    )
    said = [ones[0].verified(signing_key(monitor))["results"][0]["commit"] for ones in by_id.values()]
    assert said == commits
    assert all(len({one.body for one in ones}) == 1 for ones in by_id.values())

    def recorded() -> bool:
        actions = [one for run in world.runs(monitor["id"]) for one in run["actions"]["nodes"]]
        sent = [one["status"] for action in actions for one in action["events"]["nodes"]]
        return sent == ["SUCCESS"] * ROUNDS

    # The next test kills the heads at once: it has to be after the last outcome, or it would be told a third time.
    eventually(recorded, "every outcome", timeout_s=20)


def test_when_the_groups_offsets_are_lost_no_receiver_hears_twice(world: World) -> None:
    before = len(world.receiver.told)
    world.children["heads"].kill()
    with KafkaAdmin(world.settings) as admin:
        passed = admin.group_offsets(HEADS_APP)
        eventually(
            lambda: not admin.describe_groups()[HEADS_APP].members, "the group to be empty", timeout_s=60
        )
        admin.set_group_offsets(HEADS_APP, dict.fromkeys(passed, 0))
        world.ready("heads")
        eventually(
            lambda: all(
                admin.group_offsets(HEADS_APP).get(place, 0) >= offset for place, offset in passed.items()
            ),
            "the heads to have read everything again",
            timeout_s=90,
        )
    assert len(world.receiver.told) == before


def test_the_command_line_and_the_pages_over_the_same_monitors(world: World) -> None:
    repository = world.repository("typed")

    def run(*arguments: str, expect: int = 0) -> str:
        done = millstream_text("monitor", *arguments, environ={**os.environ, **world.environ})
        assert done.returncode == expect, done.stderr
        return done.stdout + done.stderr

    url = world.receiver.url("/typed")
    said = run("create", "--description", "typed", "--query", "repo:typed type:diff TODO", "--webhook", url)
    identity, key = said.split()[1], said.rpartition(" ")[2].strip()
    assert "rev: 'a*' is no name" in run(
        "create", "--description", "x", "--query", "type:diff rev:a*", "--email", expect=1
    )
    assert identity in {one["id"] for one in json.loads(run("list", "--json"))}
    repository.commit("TODO\n")
    world.notify(repository)
    (told,) = eventually(lambda: world.receiver.at("/typed"), "the webhook", timeout_s=40)
    assert told.verified(key)["query"] == "repo:typed type:diff TODO"
    assert "completed" in run("show", identity, "--only-results")
    eventually(lambda: "webhook sent" in run("show", "typed"), "that it was told")
    assert "sent" in run("list")
    page = world.page(f"/code-monitoring/{identity}")
    assert "1 in 1 commit" in page
    event = page.partition("/events/")[2].partition('"')[0]
    assert "<mark>TODO</mark>" in world.page(f"/code-monitoring/{identity}/events/{event}")
    assert "typed" in world.page("/code-monitoring")
    assert "disabled" in run("toggle", identity, "--disable")
    assert "does not look" in run("run", identity, expect=1)
    run("delete", identity)
    assert "there is no monitor" in run("show", identity, expect=1)


def _ids(world: World) -> set[str]:
    return {one.delivery_id for one in world.receiver.at("/killed")}


def _at_least(told: list[Told], count: int) -> list[Told] | None:
    return told if len(told) >= count else None
