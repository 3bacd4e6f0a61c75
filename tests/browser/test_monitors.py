"""Code monitors as people use them: the form with its preview, a history that follows pushes, an event with its results."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.events import RepositoryRefreshRequested
from schemas.ids import repository_id
from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import HOST
from tests.support.repositories import RepositoryBuilder, git
from tests.support.system import RunningSystem

_NAME = f"{HOST}/watched"
_QUERY = "repo:watched type:diff select:commit.diff.added SECRET"
_MONITOR = re.compile(r"/code-monitoring/[^/]+$")
_PUSHED_MS = 40_000


class Watched:
    """A repository to which something is pushed."""

    def __init__(self, folder: Path, publisher: Publisher) -> None:
        self._folder = folder
        self._publisher = publisher

    def push(self, content: str) -> str:
        """A commit that writes a file, told as a hook tells it."""
        now_s = int(datetime.now(UTC).timestamp())
        stream = (
            f"commit refs/heads/main\ncommitter Ada <ada@example.com> {now_s} +0000\ndata 1\nx\n"
            f"from refs/heads/main^0\nM 100644 inline new.txt\ndata {len(content)}\n{content}\n"
        )
        git(self._folder, "fast-import", "--quiet", stdin=stream.encode())
        told = RepositoryRefreshRequested(repository_id=repository_id(_NAME))
        self._publisher.publish([new_event(told, source="//test/browser", time=datetime.now(UTC))])
        return git(self._folder, "rev-parse", "main").decode().strip()


@pytest.fixture(scope="module")
def watched(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    builder = RepositoryBuilder(tmp_path_factory.mktemp("watched") / "watched")
    builder.commit(datetime.now(UTC) - timedelta(days=2), {"a.txt": "nothing\n"})
    builder.commit(datetime.now(UTC) - timedelta(days=1), {"a.txt": "nothing\nthe first SECRET\n"})
    folder = builder.build()
    system.cli("repo", "add", str(folder), "--name", _NAME, "--wait")
    publisher = Publisher(system.settings(), client_id="test-monitors")
    try:
        yield Watched(folder, publisher)
    finally:
        publisher.close()


def _filled(page: Page, description: str, query: str = _QUERY) -> None:
    page.get_by_label("Description").fill(description)
    page.get_by_label("When there are new results for").fill(query)


def test_a_monitor_is_made_with_a_preview_and_its_event_appears_without_a_reload(
    watched: Watched, open_page: OpenPage
) -> None:
    page = open_page("/code-monitoring")
    page.get_by_role("link", name="New monitor").first.click()
    _filled(page, "Secrets in code")
    expect(page.locator("#no-mail")).to_contain_text("no mail server is set")
    expect(page.locator("#email")).not_to_be_checked()
    page.locator("#email").check()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("1 commit would have matched")
    expect(preview.locator("mark")).to_have_text(["SECRET"])
    page.get_by_role("button", name="Create").click()
    page.wait_for_url(_MONITOR)
    expect(page.locator("#actions")).to_contain_text("no mail can be sent")
    expect(page.get_by_role("heading", level=1)).to_have_text("Secrets in code")
    expect(page.locator("#monitor-status")).to_contain_text("enabled")
    page.evaluate("window.kept = document.querySelector('h1')")
    commit = watched.push("another SECRET\nand a line\n")
    link = page.locator("#history").get_by_role("link", name="1 in 1 commit")
    expect(link).to_be_visible(timeout=_PUSHED_MS)
    assert page.evaluate("window.kept === document.querySelector('h1')"), "nobody reloaded"
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 new match in 1 commit")
    expect(page.locator(".crumbs")).to_contain_text("Secrets in code")
    expect(page.locator("#results")).to_contain_text(commit[:10])
    expect(page.locator("#results mark")).to_have_text(["SECRET"])
    # There is no mail server: that is said where the mail stands.
    expect(page.locator("#deliveries")).to_contain_text("failed", timeout=_PUSHED_MS)


def test_a_query_that_cannot_be_run_is_marked_at_its_field(
    system: RunningSystem, open_page: OpenPage, watch: Watch
) -> None:
    page = open_page("/code-monitoring/new")
    _filled(page, "Wrong", "type:diff count:10 TODO")
    query, error = page.get_by_label("When there are new results for"), page.locator("#query-error")
    expect(error).to_be_visible()
    expect(error.locator("mark")).to_have_count(1)
    expect(query).to_have_attribute("aria-invalid", "true")
    query.fill("TODO")
    expect(error).to_contain_text("type:diff")
    watch.expected_statuses.add(422)
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#problems")).to_contain_text("The monitor was not created.")
    expect(query).to_have_value("TODO")
    query.fill("type:diff TODO")
    expect(error).to_be_hidden()
    expect(query).not_to_have_attribute("aria-invalid", "true")


def test_what_is_wrong_with_an_address_stands_at_its_field(
    system: RunningSystem, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    page = open_page("/code-monitoring/new")
    _filled(page, "Addresses")
    page.get_by_label("Post to Slack").fill("https://example.com/not-slack")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#slack_url-error")).to_contain_text("hooks.slack.com")
    expect(page.locator("#webhook_url-error")).to_be_hidden()
    page.get_by_label("Post to Slack").fill("")
    page.get_by_label("Call a webhook").fill("ftp://example.com/")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#webhook_url-error")).to_be_visible()
    expect(page.locator("#slack_url-error")).to_be_hidden()


def test_a_monitor_is_previewed_made_edited_disabled_and_deleted_without_scripts(
    watched: Watched, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses |= {422, 404}
    page = open_page("/code-monitoring/new", scripts=False)
    _filled(page, "By hand")
    page.locator("#email").check()
    page.get_by_role("button", name="What would have matched lately?").click()
    expect(page.locator("#preview")).to_contain_text("would have matched")
    expect(page.locator("#problems")).to_have_count(0)
    page.get_by_role("button", name="Create").click()
    address = page.url
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Description").fill("By hand, edited")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("By hand, edited")
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("#monitor-status")).to_contain_text("disabled")
    page.get_by_role("link", name="Delete…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete the code monitor?")
    page.get_by_role("link", name="No, go back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("By hand, edited")
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete the monitor").click()
    expect(page).to_have_url(re.compile(r"/code-monitoring$"))
    assert "By hand, edited" not in page.locator("main").inner_text()
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
