"""Creating an insight and adding a repository, as people do it: with the mouse, with keys alone, without scripts."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.charts import drawn, wait_until_counted
from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import HOST, MONTH
from tests.support.repositories import RepositoryBuilder
from tests.support.system import RunningSystem

_FRAMES = 12
_AN_INSIGHT = re.compile(r"/insights/\d+$")
_NAME = f"{HOST}/forms/code"


@pytest.fixture(scope="module")
def repository(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One repository whose 12 frames hold 1, 2, … 12 times ``thread``."""
    builder = RepositoryBuilder(tmp_path_factory.mktemp("forms") / "code")
    for step, index in enumerate(MONTH.newest(_FRAMES, datetime.now(UTC))):
        builder.commit(MONTH.instant(index) - timedelta(days=1), {"a.txt": "thread\n" * (step + 1)})
    folder = builder.build()
    system.cli("repo", "add", str(folder), "--name", _NAME, "--wait")
    return folder


def _choose_repository(page: Page) -> None:
    page.get_by_label("These", exact=True).check()
    page.get_by_label(_NAME).check()


def test_a_mistake_is_marked_while_typing_and_the_corrected_form_makes_a_chart(
    repository: Path, open_page: OpenPage
) -> None:
    page = open_page("/insights/new")
    expect(page.get_by_label("Title")).to_be_focused()
    page.get_by_label("Title").fill("Threads in the code")
    query = page.get_by_label("Query", exact=True)
    query.press_sequentially("thread author:jane")
    error = page.locator("#query-0-error")
    expect(error).to_be_visible()
    expect(error.locator("mark")).to_contain_text("author:")
    expect(query).to_have_attribute("aria-invalid", "true")
    query.fill("thread")
    expect(error).to_be_hidden()
    expect(query).not_to_have_attribute("aria-invalid", "true")
    _choose_repository(page)
    page.get_by_label("Orange").or_(page.get_by_label("Vermilion")).first.check(force=True)
    page.get_by_role("button", name="Create the insight").click()
    page.wait_for_url(_AN_INSIGHT)
    expect(page.get_by_role("heading", level=1)).to_have_text("Threads in the code")
    wait_until_counted(page)
    assert [mark["value"] for mark in drawn(page, "thread")] == list(range(1, _FRAMES + 1))
    expect(page.locator("#status")).to_contain_text("Complete")


def test_errors_of_the_server_stand_at_their_fields_and_nothing_typed_is_lost(
    repository: Path, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    page = open_page("/insights/new")
    page.get_by_label("Title").fill("Kept")
    page.get_by_label("Query", exact=True).fill("thread")
    page.get_by_role("button", name="Add a series").click()
    page.locator("#query-1").fill("repo:(")
    page.get_by_label("Those that match").check()
    page.locator("#criteria").fill("thread")
    expect(page.locator("#criteria-error")).to_contain_text("pattern")
    page.get_by_role("button", name="Create the insight").click()
    expect(page.locator("#problems")).to_be_focused()
    assert page.locator("#problems li").count() == 2
    expect(page.locator("#query-1-error")).to_be_visible()
    expect(page.locator("#criteria-error")).to_be_visible()
    expect(page.locator("#query-0")).to_have_value("thread")
    expect(page.get_by_label("Title")).to_have_value("Kept")
    page.locator("#problems a").first.click()
    assert page.evaluate("document.activeElement.id || location.hash") in ("query-1", "#query-1")


def test_the_scope_says_how_many_repositories_it_has(repository: Path, open_page: OpenPage) -> None:
    page = open_page("/insights/new")
    page.get_by_label("Those that match").check()
    page.locator("#criteria").fill(f"repo:^{HOST}/forms/")
    expect(page.locator("#criteria-count")).to_have_text("1 repository now")
    page.locator("#criteria").fill(f"repo:^{HOST}/forms/nothing")
    expect(page.locator("#criteria-count")).to_have_text("0 repositories now")


def test_the_preview_counts_what_is_typed_and_says_what_the_whole_would_cost(
    repository: Path, open_page: OpenPage
) -> None:
    page = open_page("/insights/new")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Type a query")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _choose_repository(page)
    page.get_by_label("Query", exact=True).press_sequentially("foo:bar thread", delay=20)
    expect(page.locator("#query-0-notice")).to_contain_text("foo:")
    page.get_by_label("Query", exact=True).fill("thread")
    expect(page.locator("#query-0-notice")).to_be_hidden()
    expect(preview.locator("svg.spark")).to_be_visible(timeout=20_000)
    expect(preview.locator(".legend b")).to_have_text(str(_FRAMES), timeout=20_000)
    expect(preview).to_contain_text(f"1 repository: {_NAME}. Counted in it.")
    expect(preview).to_contain_text(f"{_FRAMES} counts at {_FRAMES} frames")
    # Not one request for each key.
    assert 1 <= sum(url.endswith("/insights/new/preview") for url in asked) <= 4
    page.get_by_label("Query", exact=True).fill("thread author:jane")
    expect(preview).to_contain_text("The preview waits", timeout=20_000)


def test_rows_are_added_and_removed_and_keep_what_was_chosen(open_page: OpenPage) -> None:
    page = open_page("/insights/new")
    for number, text in enumerate(("first", "second", "third")):
        if number:
            page.get_by_role("button", name="Add a series").click()
            expect(page.locator(f"#query-{number}")).to_be_focused()
        page.locator(f"#query-{number}").fill(text)
    colours = [page.locator(f"input[name=colour-{n}]:checked").input_value() for n in range(3)]
    assert len(set(colours)) == 3
    page.get_by_role("button", name="Remove").nth(1).click()
    assert [field.input_value() for field in page.locator("[data-query]").all()] == ["first", "third"]
    assert [page.locator(f"input[name=colour-{n}]:checked").input_value() for n in range(2)] == [
        colours[0],
        colours[2],
    ]
    ids = page.evaluate("[...document.querySelectorAll('main [id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


def test_keys_alone_make_an_insight(repository: Path, open_page: OpenPage) -> None:
    page = open_page("/insights")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "New insight":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/insights/new")
    page.keyboard.type("By keys")
    page.keyboard.press("Tab")
    page.keyboard.type("thread")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "create":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(_AN_INSIGHT)
    expect(page.get_by_role("heading", level=1)).to_have_text("By keys")


def test_the_form_works_without_scripts(repository: Path, open_page: OpenPage, watch: Watch) -> None:
    watch.expected_statuses.add(422)
    page = open_page("/insights/new", scripts=False)
    page.get_by_label("Title").fill("Without scripts")
    page.get_by_label("Query", exact=True).fill("author:x")
    page.get_by_role("button", name="Add a series").click()
    expect(page.locator("#query-1")).to_be_visible()
    page.locator("#query-1").fill("thread")
    page.get_by_role("button", name="Create the insight").click()
    expect(page.locator("#query-0-error mark")).to_contain_text("author:")
    page.get_by_role("button", name="Remove").first.click()
    page.get_by_role("button", name="Create the insight").click()
    page.wait_for_url(_AN_INSIGHT)
    expect(page.get_by_role("heading", level=1)).to_have_text("Without scripts")
    expect(page.locator("#data")).to_be_visible()


def test_a_repository_is_added_and_becomes_ready_without_a_reload(
    open_page: OpenPage, tmp_path: Path, watch: Watch
) -> None:
    builder = RepositoryBuilder(tmp_path / "added-by-page")
    builder.commit(datetime(2026, 1, 5, tzinfo=UTC), {"a.txt": "x\n"})
    folder = builder.build()
    page = open_page("/repositories")
    page.get_by_label("Add a repository").fill(str(folder))
    page.get_by_role("button", name="Add", exact=True).click()
    row = page.locator("tr", has_text=str(folder))
    expect(row).to_contain_text("ready", timeout=20_000)
    watch.expected_statuses.add(422)
    page.get_by_label("Add a repository").fill("https://user:secret@git.example.com/x.git")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#location-error")).to_contain_text("credential")


def test_the_list_finds_and_says_when_it_finds_nothing(repository: Path, open_page: OpenPage) -> None:
    page = open_page("/insights")
    if page.locator("#find").count() == 0:
        page.goto("/insights?find=x")
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("no such insight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing matches “no such insight”")).to_be_visible()
    page.get_by_role("link", name="Show all insights").click()
    page.wait_for_url("**/insights")


@pytest.mark.parametrize("path", ["/insights", "/insights/new", "/repositories", "/nowhere", "/insights/1"])
def test_every_page_fits_320_pixels(open_page: OpenPage, watch: Watch, path: str) -> None:
    watch.expected_statuses.add(404)
    page = open_page(path, width=320, height=640)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    expect(page.locator("footer")).to_contain_text("Millstream")


def test_who_is_not_logged_in_is_told_how(system: RunningSystem, open_page: OpenPage, watch: Watch) -> None:
    watch.expected_statuses.add(401)
    page = open_page("/insights")
    page.context.clear_cookies()
    page.goto("/insights")
    expect(page.locator("main")).to_contain_text("login")
    page.goto("/login?token=used")
    expect(page.locator("main")).to_contain_text("used before")
