"""Pages over canned answers: what they show, what they refuse, and that nothing in them needs an inline script."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
import structlog
from starlette.testclient import TestClient

from tests.unit.web.clients import client_of
from tests.unit.web.fixture import REPOSITORIES, TIMES, FixtureContext, line, view


class _Inline(HTMLParser):
    """Collects what a strict content-security policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given:
            self.found.append(f"style in {tag}")
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("script")
        self.found.extend(f"{name} in {tag}" for name in given if name.startswith("on"))
        for name in ("src", "href", "action"):
            if re.match(r"(?i)(https?:)?//", given.get(name) or ""):
                self.outside.append(given[name] or "")


_ALL = [
    "/insights",
    "/insights/1",
    f"/insights/1?at={TIMES[4]}",
    "/insights/4",
    "/insights/new",
    "/repositories",
    "/graphiql",
    f"/{REPOSITORIES[0]}/-/code-intelligence/graph",
]


@pytest.mark.parametrize("path", [*_ALL, "/insights/99"])
def test_no_inline_code_and_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    reader = _Inline()
    reader.feed(answer.text)
    assert reader.found == []
    assert reader.outside == []
    assert answer.headers["content-type"].startswith("text/html")


def _chart(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="chart-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    chart = json.loads(found.group(1))
    assert isinstance(chart, dict)
    return chart


def test_the_list_shows_state_freshness_and_newest_values(client: TestClient) -> None:
    page = client.get("/insights").text
    assert "4 insights" in page
    assert "applied up to" in page
    assert "12:03:04" in page
    assert "counting, 63 of 72 cells" in page
    assert "some points incomplete" in page
    assert "being planned" in page
    assert page.count('class="spark"') == 4
    assert "data-poll" in page


def test_a_search_that_finds_nothing_says_so(client: TestClient) -> None:
    page = client.get("/insights", params={"find": "<nothing>"}).text
    assert "Nothing matches “&lt;nothing&gt;”" in page


@pytest.mark.parametrize(
    ("repositories", "hint"), [(True, "Create the first insight"), (False, "Add a repository")]
)
def test_the_empty_list_says_how_to_begin(context: FixtureContext, repositories: bool, hint: str) -> None:
    context.nodes = []
    if not repositories:
        context.repositories = []
    with client_of(context) as client:
        assert hint in client.get("/insights").text


def test_zero_missing_and_incomplete_stay_apart(client: TestClient) -> None:
    page = client.get("/insights/1").text
    series = _chart(page)["series"]
    assert isinstance(series, list)
    fresh, partly = series[1]["points"], series[2]["points"]
    assert (fresh[0]["v"], fresh[0]["complete"]) == (0, True)
    assert (partly[0]["v"], partly[0]["complete"]) == (None, False)
    assert (fresh[3]["v"], fresh[3]["complete"]) == (24, False)
    assert "shallow clone" in fresh[3]["reason"]
    assert page.count("not known") >= 2


def test_a_point_knows_its_largest_repository_and_how_to_check_it(client: TestClient) -> None:
    series = _chart(client.get("/insights/1").text)["series"]
    assert isinstance(series, list)
    check = series[0]["points"][1]["check"]
    assert check["repository"] == "git.example.com/shop/gateway"
    assert (check["value"], check["of"]) == (88, 2)
    assert check["command"].startswith(
        "git -C /srv/git/gateway grep -I -h -o -F -i -e 'urlopen(' 3f2a91c8d07b |"
    )


def test_a_chosen_frame_shows_its_repositories_largest_first(client: TestClient) -> None:
    page = client.get("/insights/1", params={"at": TIMES[4]}).text
    assert "1 Apr 2026, per repository" in page
    assert page.index("git.example.com/shop/billing</th>") < page.index("git.example.com/shop/gateway</th>")
    assert 'aria-current="true"' in page
    # The gateway's part of the incomplete line is a lower bound: no command would give it.
    assert page.count("<code>git -C /srv/git/billing grep") == 2
    assert page.count("<code>git -C /srv/git/gateway grep") == 1
    assert _chart(page)["at"] == TIMES[4]


@pytest.mark.parametrize("at", ["2026-04-02T00:00:00Z", "yesterday", ""])
def test_a_frame_that_is_none_chooses_nothing(client: TestClient, at: str) -> None:
    page = client.get("/insights/1", params={"at": at}).text
    assert "per repository</h2>" not in page
    assert _chart(page)["at"] is None


def test_text_of_others_stays_text(context: FixtureContext) -> None:
    evil = '</script><script>alert(1)</script><img src=x onerror="x">'
    context.nodes = [view(1, evil, [line(1, evil, evil, [1] * 12, {})])]
    with client_of(context) as client:
        for path in ("/insights", "/insights/1", f"/insights/1?at={TIMES[0]}"):
            page = client.get(path).text
            assert "<script>alert" not in page
            assert "<img" not in page
        assert _chart(client.get("/insights/1").text)["series"][0]["label"] == evil  # type: ignore[index]


def test_downloads_hold_what_the_chart_shows(client: TestClient) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get("/insights/1/data.csv").text)))
    assert len(rows) == 36
    assert rows[12] | {"query": ""} == {
        "title": "Migration from urlopen to the pooled client",
        "label": "pooled client",
        "query": "",
        "time": TIMES[0],
        "value": "0",
        "complete": "true",
        "reasons": "",
        "snapshot": "false",
    }
    assert (rows[24]["value"], rows[24]["complete"]) == ("", "false")
    whole = client.get("/insights/1/data.json").json()
    assert whole["isLoadingData"] is True
    assert [point["value"] for point in whole["series"][2]["points"]][:3] == [None, None, 12]


def test_csv_cells_are_no_formulas(context: FixtureContext) -> None:
    context.nodes = [view(1, "=1+1", [line(1, "@x", "-y", [1] * 12, {})])]
    with client_of(context) as client:
        row = next(csv.DictReader(io.StringIO(client.get("/insights/1/data.csv").text)))
    assert (row["title"], row["label"], row["query"]) == ("'=1+1", "'@x", "'-y")


def test_view_as_graphql_shows_what_was_asked(client: TestClient, context: FixtureContext) -> None:
    page = client.get("/insights/1").text
    assert "query Insight($id: ID!)" in page
    variables = next(variables for name, variables in context.asked if name == "Insight")
    assert str(variables["id"]) in page


def test_an_unknown_insight_is_a_404_until_it_was_accepted(client: TestClient) -> None:
    assert client.get("/insights/99").status_code == 404
    answer = client.get("/insights/99?accepted")
    assert answer.status_code == 202
    assert 'http-equiv="refresh"' in answer.text


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("UNAVAILABLE", 503, "tries again by itself"),
        ("INTERNAL", 500, "ref-7"),
        ("LIMIT_EXCEEDED", 400, "broken words"),
        ("NOT_FOUND", 404, "Nothing is here"),
    ],
)
def test_refusals_of_the_schema_become_pages(
    context: FixtureContext, code: str, status: int, text: str
) -> None:
    context.errors["Insights"] = [
        {"message": "broken words", "extensions": {"code": code, "reference": "ref-7"}}
    ]
    with client_of(context) as client:
        answer = client.get("/insights")
    assert answer.status_code == status
    assert text in answer.text
    assert "Millstream 0" in answer.text


def test_a_fault_of_ours_shows_a_trace_id_that_is_in_the_log(context: FixtureContext) -> None:
    context.nodes = [{"title": "not a view at all"}]
    with client_of(context) as client, structlog.testing.capture_logs() as logged:
        answer = client.get("/insights")
    assert answer.status_code == 500
    found = re.search(r'id="trace-id">([0-9a-f]{32})<', answer.text)
    assert found is not None
    assert found.group(1) in [one.get("trace_id") for one in logged]


def test_a_scope_without_repositories_is_not_called_complete(context: FixtureContext) -> None:
    empty = line(1, "x", "x", [], {}) | {"times": []}
    context.nodes = [view(1, "Empty", [empty], done=0)]
    with client_of(context) as client:
        assert "no repository in scope" in client.get("/insights").text
        assert "No repository is in its scope" in client.get("/insights/1").text


def test_nobody_sees_anything_without_logging_in(context: FixtureContext) -> None:
    with client_of(context, known=False) as client:
        answer = client.get("/insights")
    assert answer.status_code == 401
    assert "millstream login" in answer.text
    assert context.asked == []


_GOOD = {
    "key": "k",
    "title": "T",
    "query-0": "a",
    "pattern-0": "literal",
    "scope": "all",
    "value": "1",
    "unit": "MONTH",
    "action": "create",
}


def test_the_form_creates_and_goes_there(client: TestClient, context: FixtureContext) -> None:
    answer = client.post("/insights/new", data=_GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/insights/1")
    assert context.asked[-1][0] == "CreateInsight"


def test_the_form_shows_errors_at_the_field_with_the_place_marked(
    client: TestClient, context: FixtureContext
) -> None:
    answer = client.post("/insights/new", data={**_GOOD, "title": "", "query-0": "x author:me"})
    assert answer.status_code == 422
    assert "x <mark>author:</mark>me" in answer.text
    assert '<a href="#query-0">' in answer.text
    assert '<a href="#title">' in answer.text
    assert 'value="x author:me"' in answer.text
    assert "CreateInsight" not in [name for name, _ in context.asked]


def test_an_error_of_the_mutation_comes_back_to_its_field(context: FixtureContext) -> None:
    context.errors["CreateInsight"] = [
        {"message": "too long", "extensions": {"code": "INVALID_INPUT", "field": "options.title"}}
    ]
    with client_of(context) as client:
        answer = client.post("/insights/new", data=_GOOD)
    assert answer.status_code == 422
    assert '<a href="#title">too long</a>' in answer.text


def test_an_insight_that_is_not_visible_yet_is_waited_for(context: FixtureContext) -> None:
    waiting = {"code": "ACCEPTED_NOT_YET_VISIBLE", "id": "aW5zaWdodF92aWV3OiIxMiI="}
    context.errors["CreateInsight"] = [{"message": "accepted", "extensions": waiting}]
    with client_of(context) as client:
        answer = client.post("/insights/new", data=_GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/insights/12?accepted")


def test_rows_come_and_go_without_a_script(client: TestClient) -> None:
    more = client.post("/insights/new", data={**_GOOD, "action": "add-series"})
    assert more.status_code == 200
    assert 'id="query-1"' in more.text
    less = client.post("/insights/new", data={**_GOOD, "query-1": "b", "action": "remove-0"})
    assert 'id="query-0" name="query-0" value="b"' in less.text
    assert 'id="query-1"' not in less.text


def test_live_checks_answer_in_places_of_the_text_as_typed(client: TestClient) -> None:
    asked = {"query": "x author:me", "pattern": "regexp"}
    (problem,) = client.get("/insights/new/query", params=asked).json()["problems"]
    assert (problem["position"], problem["length"], problem["text"]) == (2, 7, "x author:me")
    assert client.get("/insights/new/query", params={"query": "x"}).json() == {"problems": [], "notices": []}
    told = client.get("/insights/new/query", params={"query": "x foo:bar"}).json()
    assert told == {"problems": [], "notices": ["foo: is no field: it is searched for as text"]}
    assert (
        client.get("/insights/new/scope", params={"criteria": "repo:x"}).json()["text"]
        == "2 repositories now"
    )
    assert client.get("/insights/new/scope", params={"criteria": "x"}).json()["problems"]


def test_lower_bounds_are_marked_in_the_list(context: FixtureContext) -> None:
    context.nodes = [view(1, "A", [line(1, "a", "a", [7] * 12, {11: ["shallow"]})])]
    with client_of(context) as client:
        marked = client.get("/insights").text
    context.nodes = [view(1, "A", [line(1, "a", "a", [7] * 12, {10: ["shallow"]})])]
    with client_of(context) as client:
        plain = client.get("/insights").text
    assert "≥</span>7" in marked
    assert "≥" not in plain


def test_an_incomplete_point_names_the_repository_to_blame(client: TestClient) -> None:
    series = _chart(client.get("/insights/1").text)["series"]
    assert isinstance(series, list)
    assert series[1]["points"][3]["reason"] == (
        f"the history of a shallow clone ({REPOSITORIES[0]}) ends before this frame"
    )
    assert "reason" not in series[1]["points"][5]


def test_marks_are_explained_where_the_chart_has_them(client: TestClient) -> None:
    assert 'id="mark-hollow" hidden' not in client.get("/insights/1").text
    whole = client.get("/insights/2").text
    assert 'id="mark-hollow" hidden' in whole
    assert 'id="mark-gap" hidden' in whole


def test_the_page_says_when_the_next_point_is_due(client: TestClient) -> None:
    found = re.search(r'id="next-point">next point on 1 (\w+ \d+)<', client.get("/insights/2").text)
    assert found is not None
    due = datetime.strptime(found.group(1), "%b %Y").replace(tzinfo=UTC)
    assert 0 < (due - datetime.now(UTC)).total_seconds() < 31 * 86_400


def test_the_newest_insight_comes_first(context: FixtureContext) -> None:
    first = view(1, "First made", [line(1, "a", "a", [1] * 12, {})])
    then = view(2, "Then made", [line(2, "b", "b", [1] * 12, {})])
    context.nodes = [
        first | {"createdAt": "2026-01-01T00:00:00Z"},
        then | {"createdAt": "2026-02-01T00:00:00Z"},
    ]
    with client_of(context) as client:
        page = client.get("/insights").text
    assert page.index("Then made") < page.index("First made")
