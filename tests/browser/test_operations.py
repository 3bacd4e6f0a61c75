"""The page of operations: live without reload, one reader partition by partition, nothing but our own files."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Watch


def test_the_readers_are_shown_and_move(open_page: OpenPage, watch: Watch) -> None:
    page = open_page("/operations")
    nav = page.get_by_role("navigation", name="Main")
    expect(nav.get_by_role("link", name="Operations")).to_have_attribute("aria-current", "page")
    projections = page.get_by_role("table", name="Projections")
    expect(projections.get_by_role("link", name="series_points g1")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("table", name="Agents").get_by_role("link")).not_to_have_count(0, timeout=30_000)
    expect(page.locator("#looked")).to_contain_text("visible after", timeout=40_000)
    before = page.locator("#looked time").get_attribute("datetime")
    assert before is not None
    expect(page.locator("#looked time")).not_to_have_attribute("datetime", before, timeout=30_000)

    projections.get_by_role("link", name="event_index g1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("event_index g1")
    expect(page.get_by_role("table", name="Partitions")).to_contain_text("millstream.canary/0")
    expect(page.get_by_role("table", name="What led to the state")).to_be_visible()
    watch.check()


def test_the_page_fits_a_narrow_screen(open_page: OpenPage) -> None:
    page = open_page("/operations")
    page.set_viewport_size({"width": 320, "height": 800})
    expect(page.get_by_role("table", name="Projections")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= 320")
