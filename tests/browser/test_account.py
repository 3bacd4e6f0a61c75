"""The menu with the name of who is logged in, and the way out."""

from playwright.sync_api import Browser, expect

from tests.browser.conftest import logged_in
from tests.support.system import RunningSystem


def test_the_menu_names_who_is_logged_in_and_ends_the_session(
    browser: Browser, system: RunningSystem
) -> None:
    with logged_in(browser, system) as context:
        page = context.new_page()
        page.goto(f"{system.url}/insights")
        menu = page.locator("#who")
        expect(menu.locator("summary")).to_have_text("Logged in as admin")
        menu.locator("summary").click()
        expect(menu.locator("#log-out")).to_be_visible()
        page.keyboard.press("Escape")
        expect(menu.locator("#log-out")).to_be_hidden()
        menu.locator("summary").click()
        menu.locator("#log-out").click()
        expect(page.locator("h1")).to_have_text("You are logged out")
        answer = page.goto(f"{system.url}/insights")
        assert answer is not None
        assert answer.status == 401
