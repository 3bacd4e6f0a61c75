"""What projections put aside, on its page: found by a filter, read byte by byte, tried and dropped."""

import pytest
from playwright.sync_api import expect

from infra.kafka.producer import Publisher
from schemas.envelope import Position
from schemas.topics import Topic
from tests.browser.conftest import OpenPage, Watch
from tests.support.system import RunningSystem, eventually

_COUNT = 'query { deadLetters(filter: {reason: "specversion"}) { totalCount } }'


@pytest.fixture
def poison(system: RunningSystem) -> list[Position]:
    """Two records that are no events."""
    with Publisher(system.settings()) as publisher:
        found = [
            publisher.publish_raw(Topic.SETTINGS.value, b"k", b"<script>alert(%d)</script>\xff" % n, ())
            for n in range(2)
        ]
    eventually(lambda: system.graphql(_COUNT)["deadLetters"]["totalCount"] >= 2, "the records are put aside")
    return found


def test_a_dead_letter_is_found_read_tried_and_dropped(
    poison: list[Position], open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    page = open_page("/operations/dead-letters")
    page.get_by_label("Reason contains").fill("specversion")
    page.get_by_label("Projection").select_option("settings")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#aside-title")).to_contain_text("put aside")
    page.get_by_role("link", name=str(poison[0])).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(str(poison[0]))
    expect(page.locator("#hex")).to_contain_text("3c 73 63 72 69 70 74 3e")
    expect(page.locator("#hex")).to_contain_text("<script>alert(0")
    page.get_by_role("button", name="Drop for ever").click()
    expect(page.locator("#problem")).to_contain_text("Say why")
    page.get_by_label("Why (required)").fill("noise of a test")
    page.get_by_role("button", name="Try to drop").click()
    expect(page.locator("#outcome")).to_contain_text("Dry run")
    expect(page.locator("#outcome")).to_contain_text("would be dropped")
    page.get_by_role("button", name="Drop for ever").click()
    expect(page.locator("#outcome")).to_contain_text("dropped")
    expect(page.locator("#gone")).to_be_visible()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#aside").get_by_role("link", name=str(poison[1]))).to_be_visible()
    expect(page.locator("#aside").get_by_role("link", name=str(poison[0]))).to_have_count(0)
    expect(page.locator("#decisions")).to_contain_text("noise of a test")


def test_a_record_is_one_row_and_what_is_no_event_is_dropped_together(
    poison: list[Position], open_page: OpenPage, watch: Watch
) -> None:
    watch.expected_statuses.add(422)
    page = open_page("/operations/dead-letters?reason=specversion")
    for position in poison:
        expect(page.locator("#aside").get_by_role("link", name=str(position))).to_have_count(1)
    expect(page.locator("#redrive-all")).to_have_count(0)  # a dead letter cannot be folded
    page.click("#try-drop-all")
    expect(page.locator("#problem")).to_contain_text("Say why")
    page.fill("#drop-note", "noise of a test")
    page.click("#try-drop-all")
    expect(page.locator("#outcome")).to_contain_text("would be dropped")
    page.click("#drop-all")
    expect(page.locator("#outcome")).to_contain_text("dropped")
    expect(page.locator("#aside").get_by_role("link", name=str(poison[0]))).to_have_count(0)
