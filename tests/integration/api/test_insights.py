"""Insights through GraphQL over real Kafka and PostgreSQL: what is known, what is missing, and how much it costs to ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, event

from api.graphql.ids import insight_id_of, insight_node_id, repository_id_of, repository_node_id
from infra.kafka.producer import Publisher
from schemas.envelope import Position
from schemas.grid import Interval, TimeUnit
from tests.integration.api.conftest import Api
from tests.integration.api.questions import ADD, CREATE, chart, create, definition, planned, say, text
from tests.support.projecting import completed, failed, month, result


@pytest.fixture(scope="module")
def repositories(api: Api) -> dict[str, int]:
    """Four repositories that no worker will ever look at."""
    found = {}
    for name in (
        "git.example.com/whole",
        "git.example.com/torn",
        "git.example.com/zero",
        "git.example.com/unplanned",
    ):
        given = {"input": {"name": name, "cloneUrl": f"https://{name}.git"}}
        found[name] = repository_id_of(api.ask(ADD, given)["addRepository"]["repository"]["id"])
    return found


def test_a_new_insight_is_returned_once_it_can_be_read(api: Api) -> None:
    made = create(api, "Fresh", "fresh")
    view = made["view"]
    assert (view["title"], view["isLoadingData"]) == ("Fresh", True)
    assert view["position"] == made["position"]
    assert Position.parse(made["position"]).topic == "millstream.insights"
    assert [(line["label"], line["points"]) for line in view["dataSeries"]] == [("fresh", [])]


def test_an_idempotency_key_names_one_insight(api: Api) -> None:
    given = {"input": definition("Once", "once")}
    first = api.ask(CREATE, given, key="key-1")["createLineChartSearchInsight"]
    again = api.ask(CREATE, given, key="key-1")["createLineChartSearchInsight"]
    other = api.ask(CREATE, given, key="key-2")["createLineChartSearchInsight"]
    assert again["view"]["id"] == first["view"]["id"] != other["view"]["id"]
    assert again["position"] == first["position"]
    found = api.ask('{ insightViews(find: "Once") { nodes { id } totalCount } }')["insightViews"]
    assert found["totalCount"] == 2
    refused = api.error(CREATE, {"input": definition("Another", "once")}, key="key-1")
    assert refused["extensions"]["code"] == "INVALID_INPUT"
    assert refused["extensions"]["id"] == first["view"]["id"]


def test_a_query_that_cannot_run_is_refused_with_its_place_and_nothing_is_published(api: Api) -> None:
    refused = api.error(CREATE, {"input": definition("Bad", "fine", "TODO author:bob")})
    extensions = refused["extensions"]
    assert (extensions["code"], extensions["field"], extensions["position"]) == (
        "INVALID_INPUT",
        "dataSeries[1].query",
        5,
    )
    assert refused["path"] == ["createLineChartSearchInsight"]
    assert api.ask('{ insightViews(find: "Bad") { totalCount } }')["insightViews"]["totalCount"] == 0


def test_unknown_repositories_are_refused_by_name(api: Api, repositories: dict[str, int]) -> None:
    known = next(iter(repositories))
    refused = api.error(
        CREATE, {"input": definition("Scoped", "q", repositories=[known, "git.example.com/none"])}
    )
    assert refused["message"] == "repositories not found: git.example.com/none"
    assert "repo add" in refused["extensions"]["remedy"]
    assert refused["extensions"]["repositories"] == ["git.example.com/none"]


def test_zero_incomplete_missing_and_unplanned_are_told_apart(
    api: Api, publisher: Publisher, repositories: dict[str, int]
) -> None:
    view = create(api, "Honest", "honest")["view"]
    series = view["dataSeries"][0]["seriesId"]
    whole, torn, zero, _ = repositories.values()
    first = Interval(TimeUnit.MONTH).index_at(datetime(2026, 1, 1, tzinfo=UTC))
    (position,) = say(publisher, planned(view, [whole, torn, zero], first, first + 3))
    loading = chart(api, view, min_position=[position])
    assert loading["isLoadingData"] is True
    (line,) = loading["dataSeries"]
    assert line["points"] == []
    assert line["values"] == [None, None, None]
    assert line["complete"] == [False, False, False]
    assert line["status"]["openCells"] == 9

    positions = say(
        publisher,
        completed(result({first: 5, first + 1: 7}, series_id=series), repository_id=whole, request_id="w"),
        completed(
            result({first: 1}, incomplete={first + 1: (2, "missing-object")}, series_id=series),
            repository_id=torn,
            request_id="t",
        ),
        completed(result({first: 0, first + 1: 0}, series_id=series), repository_id=zero, request_id="z"),
    )
    half = chart(api, view, min_position=positions)
    assert half["isLoadingData"] is True
    (line,) = half["dataSeries"]
    times = [text(month(index)) for index in range(first, first + 3)]
    assert line["times"] == times
    assert line["values"] == [6.0, 9.0, None]
    assert line["complete"] == [True, False, False]
    assert [(point["dateTime"], point["value"], point["complete"]) for point in line["points"]] == [
        (times[0], 6.0, True),
        (times[1], 9.0, False),
    ]
    assert line["incompletePoints"] == [
        {"dateTime": times[1], "value": 9.0, "reasons": ["missing-object"]},
        {"dateTime": times[2], "value": None, "reasons": ["not-counted"]},
    ]
    assert line["status"]["incompleteDatapoints"] == [
        {
            "__typename": "GenericIncompleteDatapointAlert",
            "time": times[1],
            "reason": "missing-object",
            "repositories": [{"name": "git.example.com/torn"}],
        }
    ]
    by_name = {one["repository"]["name"]: one["points"] for one in line["perRepository"]}
    assert set(by_name) == {"git.example.com/whole", "git.example.com/torn", "git.example.com/zero"}
    assert [point["value"] for point in by_name["git.example.com/zero"]] == [0.0, 0.0, None]
    assert [point["complete"] for point in by_name["git.example.com/zero"]] == [True, True, False]
    assert by_name["git.example.com/torn"][1]["reason"] == "missing-object"
    assert by_name["git.example.com/whole"][0]["commit"] == "c" * 40

    last = [
        completed(result({first + 2: 1}, series_id=series), repository_id=whole, request_id="w2"),
        completed(result({first + 2: 1}, series_id=series), repository_id=torn, request_id="t2"),
        failed(completed(result({first + 2: 0}, series_id=series), repository_id=zero, request_id="z2")),
    ]
    done = chart(api, view, min_position=say(publisher, *last))
    assert done["isLoadingData"] is False
    (line,) = done["dataSeries"]
    assert line["values"] == [6.0, 9.0, 2.0]
    assert line["complete"] == [True, False, False]
    status = line["status"]
    assert (status["plannedCells"], status["doneCells"], status["openCells"], status["failedCells"]) == (
        9,
        9,
        0,
        1,
    )
    assert [alert["__typename"] for alert in status["incompleteDatapoints"]] == [
        "GenericIncompleteDatapointAlert",
        "TimeoutDatapointAlert",
    ]

    filtered = chart(api, view, filters={"includeRepoRegex": "WHOLE|zero", "excludeRepoRegex": "zero$"})
    assert filtered["dataSeries"][0]["values"] == [5.0, 7.0, 1.0]
    assert filtered["dataSeries"][0]["complete"] == [True, True, True]
    assert len(filtered["dataSeries"][0]["perRepository"]) == 1
    newest = chart(api, view, display={"numSamples": 1})
    assert newest["dataSeries"][0]["times"] == times[2:]
    assert newest["dataSeries"][0]["points"][0]["pointInTimeQuery"] == f"rev:at.time({times[2]}) honest"


def test_each_captured_value_is_a_line(api: Api, publisher: Publisher, repositories: dict[str, int]) -> None:
    view = create(api, "Versions", r"version=(\d+)", generatedFromCaptureGroups=True)["view"]
    definitions = api.ask(
        "query D($id: ID!) { node(id: $id) { ... on InsightView { dataSeriesDefinitions {"
        " ... on SearchInsightDataSeriesDefinition { seriesId generatedFromCaptureGroups } } } } }",
        {"id": view["id"]},
    )["node"]["dataSeriesDefinitions"]
    series, whole = definitions[0]["seriesId"], repositories["git.example.com/whole"]
    assert definitions[0]["generatedFromCaptureGroups"] is True
    counted = result({}, captures=[(600, "1", 2), (601, "1", 1), (601, "2", 4)], series_id=series)
    positions = say(
        publisher,
        planned(view, [whole], 600, 602, [series]),
        completed(counted, repository_id=whole, request_id="c"),
    )
    lines = chart(api, view, min_position=positions)["dataSeries"]
    assert [(line["label"], line["values"]) for line in lines] == [("2", [0.0, 4.0]), ("1", [2.0, 1.0])]
    assert lines[0]["seriesId"] == f"{series}-2"
    assert [point["value"] for point in lines[0]["perRepository"][0]["points"]] == [0.0, 4.0]


def test_asking_for_many_insights_takes_no_more_statements_than_asking_for_few(
    api: Api, publisher: Publisher, repositories: dict[str, int]
) -> None:
    views = [create(api, f"Many {number}", f"many{number}", f"more{number}")["view"] for number in range(12)]
    whole = repositories["git.example.com/whole"]
    positions = say(publisher, *(planned(view, [whole], 600, 612) for view in views))
    full = """
      query Full($first: Int!, $min: [String!]) {
        insightViews(first: $first, find: "Many", minPosition: $min) {
          totalCount
          nodes {
            id title isLoadingData repositoryDefinition { __typename }
            presentation { __typename ... on LineChartInsightViewPresentation { seriesPresentation { color } } }
            dataSeriesDefinitions { ... on SearchInsightDataSeriesDefinition { repositoryScope { repositories } } }
            dataSeries {
              label points { value } incompletePoints { reasons }
              status { pendingJobs completedJobs incompleteDatapoints { time } }
              perRepository { repository { name defaultBranch { name } } points { value } }
            }
          }
          asOf { projection appliedUpTo }
        }
      }
    """
    with counted_statements() as few:
        assert len(api.ask(full, {"first": 2, "min": positions})["insightViews"]["nodes"]) == 2
    with counted_statements() as many:
        assert len(api.ask(full, {"first": 12, "min": positions})["insightViews"]["nodes"]) == 12
    asked = [
        statement for statement in many if "checkpoints" not in statement and "generations" not in statement
    ]
    before = [
        statement for statement in few if "checkpoints" not in statement and "generations" not in statement
    ]
    assert len(asked) == len(before) <= 24, asked
    assert sum("set_config" in statement for statement in many) == 1, "one snapshot answers it all"


def test_pages_follow_each_other_without_gap_or_repeat_while_insights_are_added(api: Api) -> None:
    for number in range(5):
        create(api, f"Page {number}", "page")
    query = """
      query Page($after: String) {
        insightViews(first: 2, after: $after, find: "Page") { nodes { id } pageInfo { endCursor hasNextPage } totalCount }
      }
    """
    seen: list[str] = []
    after, more = None, True
    while more:
        page = api.ask(query, {"after": after})["insightViews"]
        seen += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        if len(seen) == 2:
            create(api, "Page more", "page")
    numbers = [insight_id_of(one) for one in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) in (5, 6)
    assert api.error(query, {"after": "bm9uc2Vuc2U="})["extensions"]["code"] == "INVALID_INPUT"


def test_nodes_are_found_by_id(api: Api, repositories: dict[str, int]) -> None:
    query = "query N($id: ID!) { node(id: $id) { __typename id ... on Repository { name isFork } ... on InsightView { title } } }"
    name, number = next(iter(repositories.items()))
    found = api.ask(query, {"id": repository_node_id(number)})["node"]
    assert (found["__typename"], found["name"], found["isFork"]) == ("Repository", name, False)
    view = create(api, "Node", "node")["view"]
    assert api.ask(query, {"id": view["id"]})["node"] == {
        "__typename": "InsightView",
        "id": view["id"],
        "title": "Node",
    }
    assert api.ask(query, {"id": insight_node_id(1)})["node"] is None
    assert api.ask(query, {"id": repository_node_id(1)})["node"] is None
    me = api.ask("{ currentUser { id username siteAdmin } site { id productVersion } }")
    assert me["currentUser"]["username"] == "admin"
    assert api.ask(query, {"id": me["currentUser"]["id"]})["node"]["__typename"] == "User"


def test_as_of_says_how_far_every_projection_is(api: Api) -> None:
    position = Position.parse(create(api, "Fresh enough", "q")["position"])
    query = "query A($min: [String!]) { asOf(minPosition: $min) { projection appliedUpTo positions { topic partition nextOffset } } }"
    found = {one["projection"]: one for one in api.ask(query, {"min": [str(position)]})["asOf"]}
    assert set(found) == {"insights", "recordings", "repositories", "series_points"}
    for name in ("insights", "series_points"):
        (at,) = [one for one in found[name]["positions"] if one["topic"] == position.topic]
        assert int(at["nextOffset"]) > position.offset
        assert found[name]["appliedUpTo"] is not None
    assert (
        api.error('{ asOf(minPosition: ["nonsense"]) { projection } }')["extensions"]["code"]
        == "INVALID_INPUT"
    )
    assert (
        api.error('{ asOf(projections: ["nonsense"]) { projection } }')["extensions"]["code"]
        == "INVALID_INPUT"
    )


def test_queries_and_scopes_are_validated_while_they_are_typed(
    api: Api, repositories: dict[str, int]
) -> None:
    query = """
      query V($series: String!, $scope: String!) {
        validateInsightQuery(query: $series) { isValid invalidReason position length }
        validateScopedInsightQuery(query: $scope) { isValid invalidReason }
      }
    """
    good = api.ask(query, {"series": "TODO lang:go", "scope": "repo:a or repo:b"})
    assert good["validateInsightQuery"]["isValid"] is True
    assert good["validateScopedInsightQuery"] == {"isValid": True, "invalidReason": None}
    bad = api.ask(query, {"series": "x author:bob", "scope": "repo:a TODO"})
    assert (bad["validateInsightQuery"]["isValid"], bad["validateInsightQuery"]["position"]) == (False, 2)
    assert "contains a pattern: `TODO`" in bad["validateScopedInsightQuery"]["invalidReason"]
    preview = (
        "query P($query: String!) { previewRepositoriesFromQuery(query: $query) { numberOfRepositories } }"
    )
    found = api.ask(preview, {"query": "repo:git.example.com -repo:zero"})
    assert found["previewRepositoriesFromQuery"]["numberOfRepositories"] == 3
    assert api.error(preview, {"query": "repo:a file:b"})["extensions"]["code"] == "INVALID_INPUT"


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Statements of every engine of this process."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
