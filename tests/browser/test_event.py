"""The page of an event in a browser: found by the form, its chain followed by links, the payload opened."""

import re
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Watch
from tests.browser.insights import HOST
from tests.support.repositories import RepositoryBuilder
from tests.support.system import RunningSystem


def test_an_event_is_found_and_its_chain_followed(
    open_page: OpenPage, system: RunningSystem, watch: Watch, tmp_path: Path
) -> None:
    folder = tmp_path / "traced"
    made = RepositoryBuilder(folder)
    made.commit(datetime(2026, 1, 1, tzinfo=UTC), {"a.txt": "x\n"})
    made.build()
    added = system.graphql(
        "mutation Add($input: AddRepositoryInput!) { addRepository(input: $input) { position } }",
        {"input": {"path": str(folder), "name": f"{HOST}/traced"}},
    )["addRepository"]["position"]
    page = open_page("/events/")
    page.get_by_label("An event's id, or its position").fill(added)
    page.get_by_role("button", name="Follow it").click()
    page.wait_for_url(re.compile(r"/events/millstream\.repositories"))
    expect(page.locator("#words")).to_contain_text("Received at " + added)
    expect(page.locator("#projections")).to_contain_text("repositories")
    page.locator("#record summary").click()
    expect(page.locator("#payload")).to_contain_text(f"{HOST}/traced")
    watch.expected_statuses.add(404)
    page.goto("/events/no-such-event")
    expect(page.locator("#words")).to_contain_text("No event with the id no-such-event")
