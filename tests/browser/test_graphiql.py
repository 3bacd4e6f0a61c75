"""The explorer in a browser: from our own files alone (``watch`` sees every request), and it runs what it shows."""

import re

from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import OpenPage, Watch
from tests.support.system import RunningSystem


def _run(page: Page) -> None:
    page.get_by_role("button", name="Execute query").click()


def test_the_example_runs_and_no_request_leaves_this_server(
    open_page: OpenPage, system: RunningSystem
) -> None:
    asked: list[str] = []
    page = open_page("/insights")
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/graphiql")
    expect(page.locator(".graphiql-query-editor")).to_contain_text("query Example")
    _run(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"insightViews"')
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.locator(".graphiql-doc-explorer-content")).to_contain_text("InsightView")
    page.get_by_role("button", name="Open settings dialog").click()
    expect(page.get_by_text("Clear storage")).to_be_visible()
    assert len(asked) > 8
    assert [url for url in asked if not url.startswith(system.url)] == []


def test_a_link_fills_it_and_a_write_carries_the_csrf_token(open_page: OpenPage, watch: Watch) -> None:
    page = open_page("/insights")
    page.locator("#graphql summary").click()
    page.get_by_role("link", name="open it in GraphiQL").click()
    page.wait_for_url(re.compile(r"/graphiql\?"))
    expect(page.locator(".graphiql-query-editor")).to_contain_text("query Insights(")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    _run(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"insightViews"')
    written = [request for request in sent if request.method == "POST"]
    assert [request.headers["x-csrf-token"] != "" for request in written] == [True]
    watch.expected_statuses.add(403)
    status = page.evaluate(
        """async () => (await fetch("/graphql", {
          method: "POST", headers: { "Content-Type": "application/json" }, body: '{"query": "{__typename}"}',
        })).status"""
    )
    assert status == 403


def test_a_browser_that_opens_the_api_is_led_to_the_explorer(open_page: OpenPage) -> None:
    page = open_page("/graphql")
    expect(page).to_have_url(re.compile(r"/graphiql$"))
    expect(page.locator(".graphiql-container")).to_be_visible()
