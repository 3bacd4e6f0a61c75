"""Generations in the browser: a rebuild is watched to its swap, and a chart of the past stands under its banner."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.charts import drawn, wait_until_drawn
from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import FRAMES, HOST, MONTH, create, line
from tests.support.repositories import RepositoryBuilder
from tests.support.system import RunningSystem, eventually

PAGE = "/operations/projections"
READ = ("insights", "recordings", "repositories", "series_points")
_REBUILT_MS = 90_000
_REBUILDS = "query R($name: String) { projections(name: $name) { liveGeneration rebuilds { generation state reason } } }"
_DELETE = "mutation D($id: ID!) { deleteInsightView(id: $id) { alwaysNil } }"


def _newest(system: RunningSystem, name: str) -> Any:
    (found,) = system.graphql(_REBUILDS, {"name": name})["projections"]
    return found["rebuilds"][0]


def _order(page: Page, name: str, until: str = "") -> None:
    page.locator(f"#order-{name} summary").click()
    page.fill(f"#until-{name}", until)
    page.click(f"#rebuild-button-{name}")
    page.wait_for_url(re.compile(PAGE + "$"))


def test_a_rebuild_is_watched_to_its_swap_and_the_way_back_asks_for_the_name(
    system: RunningSystem, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    (before,) = system.graphql(_REBUILDS, {"name": "settings"})["projections"]
    page = open_page(PAGE)
    expect(page.locator("#head-settings")).to_contain_text(f"generation {before['liveGeneration']} is live")
    _order(page, "settings")
    new = before["liveGeneration"] + 1
    # Nobody reloads: the page asks again by itself.
    expect(page.locator("#head-settings")).to_contain_text(f"generation {new} is live", timeout=_REBUILT_MS)
    way_back = page.locator("#generations-settings").get_by_text("kept current: the way back")
    expect(way_back).to_be_visible(timeout=_REBUILT_MS)

    page.reload()
    page.locator("#order-settings summary").click()
    page.click("#rollback-settings")
    page.fill("#typed", "something else")
    page.click("#yes")
    expect(page.locator("#typed-error")).to_have_text("Type settings to go on.")
    page.fill("#typed", "settings")
    page.click("#yes")
    expect(page.locator("#head-settings")).to_contain_text(f"generation {before['liveGeneration']} is live")


def test_a_time_that_is_none_is_said_and_forms_work_without_scripts(
    system: RunningSystem, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    page = open_page(PAGE, scripts=False)
    page.locator("#order-obligations summary").click()
    page.fill("#until-obligations", "the first of March")
    page.click("#rebuild-button-obligations")
    expect(page.locator("#problem")).to_contain_text("'the first of March' is no time")


def test_what_a_deleted_chart_showed_is_seen_again(
    system: RunningSystem, open_page: OpenPage, watch: Watch, tmp_path: Path
) -> None:
    builder = RepositoryBuilder(tmp_path / "then")
    before = MONTH.instant(MONTH.newest(1, datetime.now(UTC))[0]) - timedelta(days=1)
    builder.commit(before, {"a.txt": "then then then\n"})
    system.cli("repo", "add", str(builder.build()), "--name", f"{HOST}/then", "--wait")
    path, identity = create(system, "What it showed", [line("then", "then", "then")])
    page = open_page(path)
    wait_until_drawn(page)
    shown = [(mark["time"], mark["value"]) for mark in drawn(page, "then")]
    until = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) > until + timedelta(milliseconds=5), "the next moment")
    watch.expected_statuses.add(404)  # the open page hears of it and asks once more
    system.graphql(_DELETE, {"id": identity})

    operations = open_page(PAGE)
    for name in READ:
        _order(operations, name, until.isoformat().replace("+00:00", "Z"))
    for name in READ:
        ready = operations.locator(f"#rebuild-{name}").get_by_text("it shows the past")
        expect(ready).to_be_visible(timeout=_REBUILT_MS)
    numbers = {name: _newest(system, name)["generation"] for name in READ}
    query = "&".join(f"generation={name}:{number}" for name, number in numbers.items())

    page = open_page(f"{path}?{query}")
    expect(page.locator("#past")).to_contain_text(f"generation {numbers['series_points']} of series_points")
    expect(page.locator("#past")).to_contain_text("replayed until")
    wait_until_drawn(page)
    assert [(mark["time"], mark["value"]) for mark in drawn(page, "then")] == shown
    assert len(shown) == FRAMES
    expect(page.locator("#controls")).to_have_count(0)
    # A chosen frame stays in the past.
    page.locator("#data tbody a").last.click()
    expect(page.locator("#breakdown")).to_contain_text(f"{HOST}/then")
    assert "generation=" in page.url
    page.locator("#graphql summary").click()
    expect(page.locator("#graphql-query")).to_contain_text("@atGeneration")

    page.get_by_role("link", name="To the live chart").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
