"""An open page follows the present: the last point moves without a reload, by events or, where there are none, by asking."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.events import RepositoryRefreshRequested
from schemas.ids import repository_id
from tests.browser.charts import drawn, newest, wait_until_counted
from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import FRAMES, HOST, MONTH, create, line
from tests.support.repositories import RepositoryBuilder, git
from tests.support.system import RunningSystem, eventually

_NAME = f"{HOST}/moving"
_MOVED_S = 40.0


class Moving:
    """A repository that gets commits; what looks after refs is told, as a git hook tells it."""

    def __init__(self, folder: Path, publisher: Publisher) -> None:
        self._folder = folder
        self._publisher = publisher
        self.count = 3

    def commit(self) -> None:
        """One occurrence more on the branch."""
        self.count += 1
        content = "moving\n" * self.count
        now_s = int(datetime.now(UTC).timestamp())
        stream = (
            f"commit refs/heads/main\ncommitter Ada <ada@example.com> {now_s} +0000\ndata 1\nx\n"
            f"from refs/heads/main^0\nM 100644 inline a.txt\ndata {len(content)}\n{content}\n"
        )
        git(self._folder, "fast-import", "--quiet", stdin=stream.encode())
        told = RepositoryRefreshRequested(repository_id=repository_id(_NAME))
        self._publisher.publish([new_event(told, source="//test/browser", time=datetime.now(UTC))])


@pytest.fixture(scope="module")
def moving(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    builder = RepositoryBuilder(tmp_path_factory.mktemp("live") / "moving")
    first = MONTH.instant(MONTH.newest(FRAMES, datetime.now(UTC))[0])
    builder.commit(first - timedelta(days=1), {"a.txt": "moving\n" * 3})
    folder = builder.build()
    system.cli("repo", "add", str(folder), "--name", _NAME, "--wait")
    publisher = Publisher(system.settings(), client_id="test-browser")
    try:
        yield Moving(folder, publisher)
    finally:
        publisher.close()


def _shows(page: Page, count: int) -> bool:
    mark = newest(page, "moving")
    return mark is not None and mark["value"] == count


def test_a_commit_moves_the_last_point_of_an_open_page(
    system: RunningSystem, moving: Moving, open_page: OpenPage
) -> None:
    path, _ = create(system, "Following", [line("moving", "moving", "moving")])
    page = open_page(path, height=500)
    wait_until_counted(page)
    eventually(lambda: _shows(page, moving.count), "the newest count", timeout_s=_MOVED_S)
    eventually(lambda: bool(page.evaluate("window.millstream.chart.live")), "the events to come")
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    page.evaluate("window.scrollTo(0, 150); window.kept = document.querySelector('h1')")
    moving.commit()
    eventually(lambda: _shows(page, moving.count), "the last point to move", timeout_s=_MOVED_S)
    # The same document, scrolled and focused as it was; the frames have not moved.
    assert page.evaluate("[window.kept === document.querySelector('h1'), scrollY]") == [True, 150]
    assert page.evaluate("document.activeElement.id") == "chart"
    assert page.evaluate("window.millstream.chart.active.value") == 3
    assert [mark["value"] for mark in drawn(page, "moving")] == [3] * FRAMES
    expect(page.locator("#live-says")).to_have_text(f"Now: moving {moving.count}")
    expect(page.locator("#data tbody tr").first).to_contain_text(str(moving.count))
    page.keyboard.press("End")
    expect(page.locator("#chart-says")).to_contain_text("now (counted ")
    page.keyboard.press("Enter")
    expect(page.locator("#breakdown-title")).to_contain_text("Now (")
    expect(page.locator("#breakdown tbody tr")).to_have_count(1)


def test_without_events_the_page_asks(
    system: RunningSystem, moving: Moving, open_page: OpenPage, watch: Watch
) -> None:
    path, _ = create(system, "Asking", [line("moving", "moving", "moving")])
    watch.expected_statuses.add(503)
    page = open_page("/insights")
    page.route("**/live?*", lambda route: route.fulfill(status=503, body="too many"))
    page.goto(path)
    wait_until_counted(page)
    assert not page.evaluate("window.millstream.chart.live")
    moving.commit()
    eventually(lambda: _shows(page, moving.count), "the last point to move", timeout_s=_MOVED_S)
