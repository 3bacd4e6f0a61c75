"""The chart of an insight, as painted and as driven by mouse and keys."""

import json
import subprocess
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api.graphql.ids import insight_id_of
from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.events import BackfillPlanned, PlannedScope, PlannedSeries
from schemas.grid import TimeUnit
from schemas.ids import repository_id
from schemas.insights.events import PlanCause
from tests.browser.charts import (
    css_colour,
    drawn,
    end_labels,
    near,
    pixel,
    pixels_like,
    wait_until_counted,
    wait_until_drawn,
)
from tests.browser.conftest import OpenPage
from tests.browser.insights import FRAMES, HOST, MONTH, add_repositories, create, frame_times, line
from tests.support.system import RunningSystem, eventually

WHOLE, HOLED, ZERO, ABSENT = "whole line", "holed line", "zero line", "absent line"
COUNTS = [2, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def repositories(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    add_repositories(system, folder)
    return folder


@pytest.fixture(scope="module")
def chart_path(system: RunningSystem, repositories: Path) -> str:
    """Four lines: counted, incomplete from the third frame on, all zero, and over no repository at all."""
    path, _ = create(
        system,
        "Needles in the hay",
        [
            line(WHOLE, "needle", "whole"),
            line(HOLED, "needle", "holed"),
            line(ZERO, "needle", "zero"),
            line(ABSENT, "needle", criteria=f"repo:^{HOST}/nowhere$"),
        ],
    )
    return path


@pytest.fixture
def chart(open_page: OpenPage, chart_path: str) -> Page:
    page = open_page(chart_path)
    wait_until_drawn(page)
    return page


def test_a_counted_line_is_drawn_whole(chart: Page) -> None:
    marks = drawn(chart, WHOLE)
    assert [mark["time"] for mark in marks] == frame_times()
    assert [mark["value"] for mark in marks] == COUNTS
    assert not any(mark["hollow"] for mark in marks)
    colour = css_colour(chart, "--s0")
    assert all(near(pixel(chart, mark["x"], mark["y"]), colour) for mark in marks)


def test_an_incomplete_point_is_painted_hollow(chart: Page) -> None:
    marks = drawn(chart, HOLED)
    assert [mark["hollow"] for mark in marks] == [False, False, True, True, True, True]
    surface, colour = css_colour(chart, "--surface"), css_colour(chart, "--s1")
    for mark in marks:
        assert near(pixel(chart, mark["x"], mark["y"]), surface if mark["hollow"] else colour), mark


def test_zero_is_painted_on_the_base_line(chart: Page) -> None:
    marks = drawn(chart, ZERO)
    assert [mark["value"] for mark in marks] == [0] * FRAMES
    assert not any(mark["hollow"] for mark in marks)
    base = {round(mark["y"]) for mark in marks}
    assert len(base) == 1
    assert all(mark["y"] < base.copy().pop() for mark in drawn(chart, WHOLE))


def test_what_was_never_planned_leaves_no_trace(chart: Page) -> None:
    assert drawn(chart, ABSENT) == []
    assert pixels_like(chart, css_colour(chart, "--s3")) == 0
    assert pixels_like(chart, css_colour(chart, "--s0")) > 50


def test_painted_heights_follow_the_values(chart: Page) -> None:
    marks = drawn(chart, WHOLE)
    base = drawn(chart, ZERO)[0]["y"]
    per_match = [(base - mark["y"]) / mark["value"] for mark in marks]
    assert max(per_match) - min(per_match) < 0.01 * max(per_match)
    assert all(one["x"] < other["x"] for one, other in pairwise(marks))


def test_labels_stand_at_the_line_ends_without_overlap(chart: Page) -> None:
    labels = sorted(end_labels(chart), key=lambda label: label["top"])
    assert {label["label"] for label in labels} == {WHOLE, HOLED, ZERO}
    assert {f"{WHOLE} 7", f"{HOLED} ≥1"} <= {label["text"] for label in labels}
    newest = drawn(chart, WHOLE)[-1]
    assert all(label["left"] > newest["x"] for label in labels)
    assert all(one["top"] + one["height"] <= other["top"] for one, other in pairwise(labels))


def test_many_lines_with_one_value_keep_their_labels_apart(
    system: RunningSystem, repositories: Path, open_page: OpenPage
) -> None:
    path, _ = create(
        system, "Alike", [line(f"line {n}", f"needle count:{90 + n}", "whole") for n in range(8)]
    )
    page = open_page(path)
    wait_until_drawn(page)
    labels = sorted(end_labels(page), key=lambda label: label["top"])
    assert len(labels) == 8
    assert all(one["top"] + one["height"] <= other["top"] for one, other in pairwise(labels))


def test_hover_says_value_date_commit_and_a_command_that_counts_it(chart: Page, repositories: Path) -> None:
    mark = drawn(chart, WHOLE)[3]
    chart.locator("#chart canvas").hover(position={"x": mark["x"], "y": mark["y"]}, force=True)
    tip = chart.locator(".tip")
    expect(tip).to_be_visible()
    expect(tip.locator(".row.on")).to_contain_text(WHOLE)
    expect(tip.locator(".row.on b")).to_have_text("5")
    expect(tip.locator(".when")).to_have_text(_shown(frame_times()[3]))
    command = tip.locator("code").inner_text()
    assert str(repositories / "whole") in command
    ran = subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert int(ran.stdout) == 5


def test_hover_of_a_hollow_point_says_why(chart: Page) -> None:
    mark = drawn(chart, HOLED)[4]
    chart.locator("#chart canvas").hover(position={"x": mark["x"], "y": mark["y"]}, force=True)
    expect(chart.locator(".tip .row.on")).to_contain_text(HOLED)
    expect(chart.locator(".tip .row.on b")).to_have_text("≥1")
    expect(chart.locator(".tip .why").first).to_have_text(
        f"incomplete: an object is missing from a clone ({HOST}/holed)"
    )
    expect(chart.locator("#mark-hollow")).to_be_visible()


def test_a_click_opens_the_frame_per_repository_and_the_address_keeps_it(chart: Page) -> None:
    mark = drawn(chart, WHOLE)[2]
    chart.locator("#chart canvas").click(position={"x": mark["x"], "y": mark["y"]}, force=True)
    heading = chart.get_by_role("heading", name=f"{_shown(frame_times()[2])}, per repository")
    expect(heading).to_be_visible()
    table = chart.locator("#breakdown table")
    names = table.locator("tbody th").all_inner_texts()
    assert names == [f"{HOST}/whole", f"{HOST}/holed", f"{HOST}/zero"]
    expect(table.locator("tbody tr").nth(1)).to_contain_text("an object is missing")
    expect(table.locator("tbody tr").nth(0)).to_contain_text("not in scope")
    chart.reload()
    expect(heading).to_be_visible()
    chart.get_by_role("link", name="Close").click()
    expect(heading).not_to_be_visible()
    assert "at=" not in chart.url
    chart.go_back()
    expect(heading).to_be_visible()


def test_keys_move_along_the_points(chart: Page) -> None:
    says = chart.locator("#chart-says")
    chart.locator("#chart").focus()
    chart.keyboard.press("Home")
    expect(says).to_have_text(f"{_shown(frame_times()[0])}: {WHOLE} 2")
    chart.keyboard.press("ArrowRight")
    expect(says).to_have_text(f"{_shown(frame_times()[1])}: {WHOLE} 3")
    chart.keyboard.press("ArrowDown")
    expect(says).to_contain_text(f"{HOLED} 1")
    chart.keyboard.press("End")
    expect(says).to_contain_text("incomplete: an object is missing")
    chart.keyboard.press("ArrowRight")
    assert chart.evaluate("window.millstream.chart.active.now")
    chart.keyboard.press("ArrowLeft")
    assert chart.evaluate("window.millstream.chart.active.time") == frame_times()[-1]
    chart.keyboard.press("ArrowLeft")
    chart.keyboard.press("Enter")
    expect(chart.get_by_role("heading", name=f"{_shown(frame_times()[-2])}, per repository")).to_be_visible()
    chart.locator("#chart").focus()
    chart.keyboard.press("Escape")
    assert chart.evaluate("window.millstream.chart.active") is None


def test_the_table_and_the_downloads_say_the_same(chart: Page, chart_path: str) -> None:
    rows = chart.locator("#data tbody tr")
    expect(rows).to_have_count(FRAMES + 1)
    expect(rows.first.locator("th")).to_contain_text("now")
    for row in (rows.first, rows.nth(1)):
        expect(row.locator("td").nth(0)).to_have_text("7")
        expect(row.locator("td").nth(1)).to_contain_text("an object is missing")
        expect(row.locator("td").nth(2)).to_have_text("0")
        expect(row.locator("td").nth(3)).to_have_text("")
    with chart.expect_download() as download:
        chart.get_by_role("link", name="JSON").click()
    whole = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    by_label = {series["label"]: series["points"] for series in whole["series"]}
    assert [point["value"] for point in by_label[WHOLE]] == COUNTS
    assert by_label[ABSENT] == []


def test_freshness_and_graphql_are_there(chart: Page, system: RunningSystem) -> None:
    expect(chart.locator("#status")).to_contain_text("applied up to")
    chart.get_by_text("View as GraphQL").click()
    query = chart.locator("#graphql-query").inner_text()
    variables = json.loads(chart.locator("#graphql-variables").inner_text())
    answer = system.graphql(query, variables)
    assert answer["insightViews"]["nodes"][0]["title"] == "Needles in the hay"


def test_a_planned_frame_without_outcome_is_a_gap_and_the_page_follows_the_counting(
    system: RunningSystem, repositories: Path, open_page: OpenPage
) -> None:
    path, identifier = create(system, "Half planned", [line("half", "needle case:yes", "whole")])
    page = open_page(path)
    wait_until_counted(page)
    assert len(drawn(page, "half")) == FRAMES
    expect(page.locator("#status")).to_contain_text("Complete")
    first = MONTH.newest(FRAMES, datetime.now(UTC))[0]
    series = page.evaluate("window.millstream.chart.drawn[0].series")
    insight = insight_id_of(identifier)
    planned = PlannedSeries(
        series_id=series, unit=TimeUnit.MONTH, value=1, first_index=first - 2, end_index=first
    )
    # A plan that nobody works on: its cells stay open.
    event = new_event(
        BackfillPlanned(
            insight_id=insight,
            cause=PlanCause.INSIGHT_CREATED,
            scopes=[PlannedScope(series=[planned], repositories=[repository_id(f"{HOST}/whole")])],
            part=1,
            of=1,
        ),
        source="//test/browser",
        time=datetime.now(UTC),
    )
    publisher = Publisher(system.settings(), client_id="test-browser")
    try:
        publisher.publish([event])
    finally:
        publisher.close()
    planned_cells = (
        "query ($id: ID!) { insightViews(id: $id) { nodes { dataSeries { status { plannedCells } } } } }"
    )
    eventually(
        lambda: (
            system.graphql(planned_cells, {"id": identifier})["insightViews"]["nodes"][0]["dataSeries"][0][
                "status"
            ]["plannedCells"]
            == FRAMES + 2
        ),
        "the plan to be projected",
    )
    page.reload()
    expect(page.locator("#status")).to_contain_text(f"{FRAMES} of {FRAMES + 2} cells")
    wait_until_drawn(page)
    marks = drawn(page, "half")
    assert [mark["time"] for mark in marks] == frame_times()
    assert page.locator("#data tbody tr").count() == FRAMES + 3
    expect(page.locator("#data tbody tr").last).to_contain_text("not known")
    # The gap is on the axis: the first point stands a good way into the plot, and nothing is painted before it.
    spacing = marks[1]["x"] - marks[0]["x"]
    assert marks[0]["x"] > 2 * spacing * 0.9
    base = marks[0]["y"]
    assert not near(pixel(page, marks[0]["x"] - spacing, base), css_colour(page, "--s0"))


def test_a_server_that_is_gone_leaves_what_was_known_and_says_so(
    open_page: OpenPage, chart_path: str, system: RunningSystem, watch: object
) -> None:
    page = open_page(chart_path)
    wait_until_drawn(page)
    page.route("**/insights/*", lambda route: route.fulfill(status=503, body="gone"))
    watch.expected_statuses.add(503)  # type: ignore[attr-defined]
    page.locator("#data tbody a").first.click()
    expect(page.locator("#stale")).to_contain_text("What you see is what was known before")
    assert len(drawn(page, WHOLE)) == FRAMES
    page.unroute("**/insights/*")
    page.locator("#data tbody a").nth(1).click()
    expect(page.locator("#stale")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (1280, "dark")])
def test_narrow_and_dark(open_page: OpenPage, chart_path: str, width: int, scheme: str) -> None:
    page = open_page(f"{chart_path}?at={frame_times()[3]}", width=width, height=720, scheme=scheme)
    wait_until_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    mark = drawn(page, WHOLE)[1]
    assert near(pixel(page, mark["x"], mark["y"]), css_colour(page, "--s0"))
    assert bool(end_labels(page)) is (width > 620)
    assert page.locator("#legend").is_visible() is (width <= 620)


def _shown(time: str) -> str:
    moment = datetime.fromisoformat(time)
    return f"{moment.day} {moment:%b %Y}"
