"""What may be decided about an insight: the buttons fit its state, grave ones ask, and each runs its own mutation."""

import re

import pytest
from starlette.testclient import TestClient

from tests.unit.web.clients import client_of
from tests.unit.web.fixture import FixtureContext, Json, line, view


def _page(status: Json | None, *, failed_cells: int = 0) -> str:
    node = view(1, "One", [line(1, "a", "a", [1] * 12, {})])
    node["backfillQueueStatus"] = status
    for entry in node["dataSeries"]:  # type: ignore[attr-defined]
        entry["status"]["failedCells"] = failed_cells
    with client_of(FixtureContext(nodes=[node])) as client:
        return str(client.get("/insights/1").text)


def _buttons(page: str) -> list[str]:
    return re.findall(r'id="do-(\w+)"', page)


@pytest.mark.parametrize(
    ("status", "words", "buttons"),
    [
        ({"state": "NEW"}, "", ["delete"]),
        (
            {"state": "QUEUED", "queuePosition": 3},
            "waits to be counted, 2 before it",
            ["pause", "front", "back", "cancel", "delete"],
        ),
        (
            {"state": "PROCESSING", "queuePosition": 1},
            "being counted, next in line",
            ["pause", "front", "back", "cancel", "delete"],
        ),
        (
            {"state": "PROCESSING", "isPaused": True},
            "nothing more is counted until it is resumed",
            ["resume", "front", "back", "cancel", "delete"],
        ),
        ({"state": "COMPLETED"}, "", ["delete"]),
    ],
)
def test_the_buttons_fit_the_state(status: Json, words: str, buttons: list[str]) -> None:
    page = _page(status)
    assert _buttons(page) == buttons
    if words:
        assert f'id="backfill-state">{words}<' in page
    else:
        assert "backfill-state" not in page


def test_failures_are_told_with_their_reasons_until_they_are_mended() -> None:
    status: Json = {"state": "FAILED", "errors": ["cancelled: 2 requests", "timeout: 1 requests"]}
    page = _page(status, failed_cells=24)
    assert (
        "not all could be counted (counting was cancelled: 2 requests; counting ran out of time: 1 requests)"
        in page
    )
    assert _buttons(page) == ["retry", "delete"]
    mended = _page(status)
    assert _buttons(mended) == ["delete"]
    assert "backfill-state" not in mended


@pytest.mark.parametrize(
    ("action", "operation", "goes_to"),
    [
        ("pause", "BackfillPause", "/insights/1"),
        ("resume", "BackfillResume", "/insights/1"),
        ("cancel", "BackfillCancel", "/insights/1"),
        ("retry", "BackfillRetry", "/insights/1"),
        ("front", "BackfillFront", "/insights/1"),
        ("back", "BackfillBack", "/insights/1"),
        ("delete", "DeleteInsight", "/insights"),
    ],
)
def test_each_button_runs_its_own_mutation(
    client: TestClient, context: FixtureContext, action: str, operation: str, goes_to: str
) -> None:
    answer = client.post(f"/insights/1/{action}")
    assert (answer.status_code, answer.headers["location"]) == (303, goes_to)
    assert [name for name, _ in context.asked] == [operation]


@pytest.mark.parametrize("action", ["cancel", "delete"])
def test_what_is_grave_asks_first(client: TestClient, context: FixtureContext, action: str) -> None:
    page = client.get(f"/insights/1/ask/{action}").text
    assert f'action="/insights/1/{action}"' in page
    assert 'name="csrf_token" value="the-csrf-token"' in page
    assert 'href="/insights/1">No, go back' in page
    assert [name for name, _ in context.asked] == ["Insight"]


@pytest.mark.parametrize(
    "path", ["/insights/1/ask/pause", "/insights/1/ask/explode", "/insights/99/ask/delete"]
)
def test_nothing_else_asks(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_no_other_word_is_an_action(client: TestClient, context: FixtureContext) -> None:
    assert client.post("/insights/1/explode").status_code == 404
    assert context.asked == []


def test_a_refusal_is_told(context: FixtureContext) -> None:
    context.errors["BackfillPause"] = [
        {"message": "it was deleted", "extensions": {"code": "REJECTED", "remedy": "Make another."}}
    ]
    with client_of(context) as client:
        answer = client.post("/insights/1/pause")
    assert answer.status_code == 400
    assert "it was deleted" in answer.text
    assert "Make another." in answer.text
