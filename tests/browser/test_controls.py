"""What people decide about a backfill, by the buttons of its page, with scripts and without."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from schemas.settings.known import RATE_LIMIT, RATE_LIMIT_BURST
from tests.browser.charts import wait_until_counted
from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import HOST, MONTH, create, line
from tests.support.repositories import RepositoryBuilder
from tests.support.system import RunningSystem, eventually

_CHANGE = (
    "mutation ($key: String!, $value: Float) { changeSiteSetting(key: $key, value: $value) { position } }"
)
_REPOSITORIES = ("queued-a", "queued-b", "queued-c")
_SLOW_S = 40_000


@pytest.fixture(scope="module")
def repositories(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("queued")
    before = MONTH.instant(MONTH.newest(1, datetime.now(UTC))[0]) - timedelta(days=1)
    for name in _REPOSITORIES:
        builder = RepositoryBuilder(folder / name)
        builder.commit(before, {"a.txt": "queued\n"})
        system.cli("repo", "add", str(builder.build()), "--name", f"{HOST}/{name}", "--wait")


@pytest.fixture
def slow(system: RunningSystem) -> Iterator[None]:
    """One request goes out at once, the next one much later."""
    try:
        for key, value in ((RATE_LIMIT_BURST, 1.0), (RATE_LIMIT, 0.01)):
            system.graphql(_CHANGE, {"key": key, "value": value})
        yield
    finally:
        _quick(system)


def _quick(system: RunningSystem) -> None:
    for key in (RATE_LIMIT, RATE_LIMIT_BURST):
        system.graphql(_CHANGE, {"key": key, "value": None})


def _buttons(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#controls").locator("a, button").all_inner_texts()]


def test_a_backfill_is_paused_moved_resumed_cancelled_and_counted_after_all(
    system: RunningSystem, repositories: None, slow: None, open_page: OpenPage
) -> None:
    path, _ = create(system, "Controlled", [line("queued", "queued", *_REPOSITORIES)], wait=False)
    page = open_page(path)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_contain_text("Paused")
    expect(page.locator("#backfill-state")).to_contain_text("until it is resumed")
    assert _buttons(page) == ["Resume", "To the front", "To the back", "Cancel…", "Delete…"]
    page.get_by_role("button", name="To the front").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#status")).to_contain_text("Counting")
    page.get_by_role("link", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel the counting?")
    page.get_by_role("link", name="No, go back").click()
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the counting").click()
    # Told by an event: nobody reloads.
    expect(page.locator("#backfill-state")).to_contain_text("counting was cancelled", timeout=40_000)
    assert _buttons(page) == ["Count the rest", "Delete…"]
    _quick(system)
    page.get_by_role("button", name="Count the rest").click()
    expect(page.locator("#status")).to_contain_text("Complete", timeout=_SLOW_S)
    expect(page.locator("#backfill-state")).to_have_count(0)


def test_an_insight_is_deleted_without_scripts_after_a_question(
    system: RunningSystem, repositories: None, open_page: OpenPage, watch: Watch
) -> None:
    path, _ = create(system, "To be deleted", [line("queued", "queued", _REPOSITORIES[0])])
    open_elsewhere = open_page(path)
    wait_until_counted(open_elsewhere)
    eventually(lambda: bool(open_elsewhere.evaluate("window.millstream.chart.live")), "the events to come")
    watch.expected_statuses.add(404)
    page = open_page(path, scripts=False)
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete the insight").click()
    expect(page).to_have_url(re.compile(r"/insights$"))
    assert "To be deleted" not in page.locator("main").inner_text()
    expect(open_elsewhere.locator("#stale")).to_contain_text("removed", timeout=_SLOW_S)
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
