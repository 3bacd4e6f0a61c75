"""The newest count as the page shows it: apart from the frames, at one time for all lines, never as one of them."""

import csv
import io
import json
import re
from typing import Any

import pytest

from tests.unit.web.clients import client_of
from tests.unit.web.fixture import TIMES, FixtureContext, line, view, with_snapshot

_EARLIER, _LATER = "2026-11-22T12:00:01.500Z", "2026-11-22T12:00:02.250Z"


@pytest.fixture
def context() -> FixtureContext:
    """Two lines whose newest counts are of two moments; the second one's is a lower bound."""
    return FixtureContext(
        nodes=[
            view(
                1,
                "Now",
                [
                    with_snapshot(line(1, "one", "one", [5] * 12, {}), _EARLIER, 6),
                    with_snapshot(line(2, "two", "two", [7] * 12, {}), _LATER, 9, complete=False),
                ],
            )
        ]
    )


def _chart(page: str) -> Any:
    found = re.search(r'id="chart-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_all_lines_end_at_one_now_and_know_when_they_were_counted(context: FixtureContext) -> None:
    with client_of(context) as client:
        chart = _chart(client.get("/insights/1").text)
    ends = [series["points"][-1] for series in chart["series"]]
    assert [end["t"] for end in ends] == [chart["now"]] * 2
    assert [(end["v"], end["complete"], end["counted"]) for end in ends] == [
        (6, True, 1795348801),
        (9, False, 1795348802),
    ]
    assert [len(series["points"]) for series in chart["series"]] == [13, 13]


def test_the_table_begins_with_now_and_the_list_shows_its_value(context: FixtureContext) -> None:
    with client_of(context) as client:
        page, listed = client.get("/insights/1").text, client.get("/insights").text
    table = page.partition('id="data"')[2]
    rows = re.findall(r'<th scope="row"><a href="([^"]+)"', table)
    assert len(rows) == 13
    assert rows[0] == "?at=now"
    assert "≥</span>9</dd>" in listed
    assert "to 6 now" in page


def test_now_can_be_chosen_like_a_frame(context: FixtureContext) -> None:
    with client_of(context) as client:
        page = client.get("/insights/1?at=now").text
        frame = client.get(f"/insights/1?at={_LATER}").text
    assert "Now (22 Nov 2026, 12:00 UTC), per repository" in page
    assert page.partition('id="breakdown"')[2].count('<th scope="row">git.example.com/') == 2
    assert _chart(page)["at"] == "now"
    assert _chart(frame)["at"] is None


def test_downloads_tell_it_from_the_frames(context: FixtureContext) -> None:
    with client_of(context) as client:
        rows = list(csv.DictReader(io.StringIO(client.get("/insights/1/data.csv").text)))
        whole = client.get("/insights/1/data.json").json()
    assert [row["time"] for row in rows if row["snapshot"] == "true"] == [
        "2026-11-22T12:00:01.500000Z",
        "2026-11-22T12:00:02.250000Z",
    ]
    assert [len(series["points"]) for series in whole["series"]] == [12, 12]
    assert whole["series"][1]["snapshot"]["value"] == 9


def test_a_newest_count_that_no_frame_is_older_than_stays_a_frame(context: FixtureContext) -> None:
    entry = line(1, "one", "one", [5] * 12, {}) | {
        "snapshot": {"dateTime": "2026-10-15T00:00:00Z", "value": 4, "isIncomplete": False}
    }
    context.nodes = [view(1, "Old", [entry])]
    with client_of(context) as client:
        chart = _chart(client.get("/insights/1").text)
    assert chart["now"] is None
    assert len(chart["series"][0]["points"]) == len(TIMES)
