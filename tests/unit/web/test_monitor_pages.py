"""Pages of code monitors over canned answers: list, history, one event with its results, the form and its preview."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.graphql import ids
from api.web.monitor_answers import lines_of
from tests.unit.web.clients import client_of
from tests.unit.web.fixture import FixtureContext

MONITOR = ids.node_id(ids.MONITOR, 7)
EVENT = ids.node_id(ids.MONITOR_EVENT, "7/8")
_AT = "2026-11-29T12:00:00Z"
_RUN = {
    "id": EVENT, "status": "SUCCESS", "message": None, "timestamp": _AT, "resultCount": 3, "commitCount": 1,
    "cause": "push", "outcome": "completed", "warnings": ["WARNING: w"], "repository": {"name": "example.org/app"},
}  # fmt: skip
_PAGE = {"endCursor": None, "hasNextPage": False}
_WEBHOOK = {
    "__typename": "MonitorWebhook", "id": "w", "enabled": False, "includeResults": True, "host": "hooks.example",
    "url": "https://hooks.example/secret", "signingSecret": "whsec_key", "disabledReason": "HTTP 410",
}  # fmt: skip
_MAIL = {
    "__typename": "MonitorEmail", "id": "m", "enabled": True, "includeResults": False, "priority": "CRITICAL",
    "header": "", "recipients": {"nodes": [{"id": "u", "namespaceName": "alice"}]},
}  # fmt: skip


_SENT = {
    "status": "PENDING", "message": "HTTP 503", "timestamp": _AT, "deliveryID": "d-1", "attempts": 2,
    "nextAttempt": _AT,
}  # fmt: skip
_TOLD = {"nodes": [{"__typename": "MonitorWebhook", "host": "hooks.example", "events": {"nodes": [_SENT]}}]}


def _monitor(runs: list[Mapping[str, object]]) -> dict[str, object]:
    return {
        "id": MONITOR, "description": "Keys <b>", "enabled": True, "createdAt": _AT, "nextRun": _AT,
        "owner": {"id": "u", "namespaceName": "alice"},
        "trigger": {"query": "type:diff <KEY>", "events": {"nodes": runs, "totalCount": len(runs), "pageInfo": _PAGE},
                    "found": {"nodes": runs[:1], "totalCount": 1, "pageInfo": _PAGE}},
        "actions": {"nodes": [_WEBHOOK, _MAIL], "totalCount": 2},
    }  # fmt: skip


_RESULT = {
    "repository": "example.org/app", "commit": "ab" * 20, "message": None, "matchedMessageRanges": None,
    "diff": "a.pem a.pem\n@@ -0,0 +1,2 @@\n+<KEY>\n+more\n", "matchedDiffRanges": [[29, 34]],
}  # fmt: skip


@pytest.fixture
def monitored(context: FixtureContext) -> FixtureContext:
    failed = {**_RUN, "status": "ERROR", "message": "git log failed", "resultCount": 0}
    one = _monitor([{**_RUN, "actions": _TOLD}, failed])
    event = {
        **_RUN, "query": "type:diff <KEY>", "position": "p", "results": [_RESULT],
        "actions": _TOLD,
    }  # fmt: skip
    listed = {"nodes": [one], "totalCount": 1, "pageInfo": _PAGE, "asOf": []}
    context.answers.update(
        {
            "Monitors": lambda given: {"currentUser": {"monitors": listed}},
            "Monitor": lambda given: {"node": one if given["id"] == MONITOR else None},
            "MonitorEvent": lambda given: {
                "node": event if given["id"] == EVENT else None,
                "monitor": {"description": "Keys <b>"},
            },
            "Me": lambda given: {"currentUser": {"id": "u", "username": "alice"}},
            "ValidateMonitorQuery": lambda given: {
                "validateCodeMonitorQuery": {"isValid": True}
                if "type:" in str(given["query"])
                else {"isValid": False, "invalidReason": "type is missing", "position": 0, "length": 1}
            },
            "MonitorPreview": lambda given: {
                "codeMonitorPreview": {
                    "repositoryCount": 9,
                    "lookedAt": 3,
                    "commits": 100,
                    "results": [_RESULT],
                }
            },
            "CreateMonitor": lambda given: {"createCodeMonitor": {"id": MONITOR}},
            "UpdateMonitor": lambda given: {"updateCodeMonitor": {"id": MONITOR}},
            "ToggleMonitor": lambda given: {"toggleCodeMonitor": {"id": MONITOR}},
            "DeleteMonitor": lambda given: {"deleteCodeMonitor": {"alwaysNil": None}},
        }
    )
    return context


@pytest.fixture
def pages(monitored: FixtureContext) -> TestClient:
    return client_of(monitored)


def test_the_list_and_one_monitor_with_its_history(pages: TestClient) -> None:
    listed = pages.get("/code-monitoring").text
    assert "Keys &lt;b&gt;" in listed
    assert "3 matches" in listed
    for text in ("tried again at 12:00:00", "hooks.example", "HTTP 503"):
        assert text in listed, text
    page = pages.get(f"/code-monitoring/{MONITOR}").text
    for text in ("type:diff &lt;KEY&gt;", "Webhook at hooks.example", "HTTP 410", "whsec_key", "Mail to alice",
                 "3 in 1 commit", "git log failed", "WARNING: w", "/events/8",
                 "tried again at 12:00:00", "HTTP 503"):  # fmt: skip
        assert text in page, text
    assert "https://hooks.example/secret" not in page
    assert pages.get(f"/code-monitoring/{ids.node_id(ids.MONITOR, 9)}").status_code == 404


def test_an_event_shows_its_exact_results_and_who_was_told(pages: TestClient) -> None:
    page = pages.get(f"/code-monitoring/{MONITOR}/events/8").text
    assert "<mark>&lt;KEY&gt;</mark>" in page
    for text in (
        "3 new matches in 1 commit",
        "HTTP 503",
        "tried again at 12:00:00",
        "d-1",
        'class="line hunk"',
    ):
        assert text in page, text
    assert pages.get(f"/code-monitoring/{MONITOR}/events/9").status_code == 404


def test_the_form_creates_previews_and_says_what_is_wrong(
    pages: TestClient, monitored: FixtureContext
) -> None:
    assert "checked" in pages.get("/code-monitoring/new").text
    filled = {
        "description": "d",
        "query": "type:diff x",
        "webhook_url": "https://h.example/x",
        "enabled": "on",
        "key": "k",
    }
    preview = pages.post("/code-monitoring/preview", data=filled).text
    assert (
        "1 commit would have matched. Looked at: the newest commits, at most 100, of 3 repositories"
        in preview
    )
    assert "type is missing" in pages.post("/code-monitoring/preview", data={"query": "x"}).text
    assert pages.post("/code-monitoring/new", data={**filled, "webhook_url": ""}).status_code == 422
    made = pages.post("/code-monitoring/new", data=filled)
    assert (made.status_code, made.headers["location"]) == (303, f"/code-monitoring/{MONITOR}")
    name, sent = monitored.asked[-1]
    assert name == "CreateMonitor"
    assert sent["actions"] == [
        {"webhook": {"enabled": True, "includeResults": False, "url": "https://h.example/x"}}
    ]


def test_an_edit_keeps_what_is_ticked_without_its_secrets(
    pages: TestClient, monitored: FixtureContext
) -> None:
    page = pages.get(f"/code-monitoring/{MONITOR}/edit").text
    assert page.count('name="kept"') == 2
    assert "secret" not in page
    answer = pages.post(
        f"/code-monitoring/{MONITOR}/edit", data={"description": "d", "query": "type:diff x", "kept": ["w"]}
    )
    assert answer.status_code == 303
    sent = monitored.asked[-1][1]
    assert sent["actions"] == [
        {"webhook": {"id": "w", "update": {"enabled": False, "includeResults": True, "url": ""}}}
    ]


def test_what_may_be_done_is_done_by_mutations(pages: TestClient, monitored: FixtureContext) -> None:
    assert pages.post(f"/code-monitoring/{MONITOR}/disable").status_code == 303
    assert monitored.asked[-1] == ("ToggleMonitor", {"id": MONITOR, "enabled": False})
    assert pages.post(f"/code-monitoring/{MONITOR}/delete").headers["location"] == "/code-monitoring"
    assert pages.post(f"/code-monitoring/{MONITOR}/explode").status_code == 404


@given(st.text(alphabet="+- @ab\n"), st.lists(st.integers(0, 30), min_size=2, max_size=8))
def test_drawn_lines_hold_the_text_and_marks_the_ranges(text: str, points: list[int]) -> None:
    text = text.rstrip("\n") or "x"
    ends = sorted({min(point, len(text)) for point in points})
    ranges = list(zip(ends[::2], ends[1::2], strict=False))
    lines = lines_of(text, ranges, is_diff=True)
    assert "\n".join("".join(part.text for part in line.parts) for line in lines) == text
    marked = "".join(part.text for line in lines for part in line.parts if part.is_match)
    assert marked == "".join(text[first:end] for first, end in ranges).replace("\n", "")


def test_the_form_ticks_no_mail_that_cannot_be_sent_and_says_why(
    pages: TestClient, monitored: FixtureContext
) -> None:
    ticked = 'id="email" name="email" checked'
    page = pages.get("/code-monitoring/new").text
    assert ticked in page
    assert "no-mail" not in page
    why = "no mail can be sent: no mail server is set"
    monitored.answers["Me"] = lambda given: {
        "currentUser": {"id": "u", "username": "alice", "cannotBeMailed": why}
    }
    page = pages.get("/code-monitoring/new").text
    assert ticked not in page
    assert f"As things are, {why}." in page


def test_a_monitor_says_which_action_cannot_send(pages: TestClient, monitored: FixtureContext) -> None:
    mail = {**_MAIL, "cannotSend": "no mail can be sent: alice has no mail address"}
    one = {**_monitor([]), "actions": {"nodes": [mail], "totalCount": 1}}
    monitored.answers["Monitor"] = lambda given: {"node": one}
    assert "alice has no mail address" in pages.get(f"/code-monitoring/{MONITOR}").text
