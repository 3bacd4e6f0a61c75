"""The last point of a chart: the newest count, moved by pushes, without removed repositories."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.kafka.producer import Publisher
from schemas.events import RepositoryRegistered, RepositoryRemoved, SnapshotCount
from schemas.grid import Interval, TimeUnit
from schemas.ids import repository_id
from tests.integration.api.conftest import Api
from tests.integration.api.questions import create, planned, say, text
from tests.support.projecting import completed, month, result

NEWEST = """
query Newest($id: ID!, $filters: InsightViewFiltersInput, $min: [String!], $at: DateTime) {
  insightViews(id: $id, filters: $filters, minPosition: $min) {
    nodes {
      isLoadingData
      dataSeries {
        seriesId label times values complete
        points { dateTime value complete }
        incompletePoints { value reasons }
        snapshot { dateTime value isIncomplete }
        perRepository { repository { name } points { value reason commit } }
        at: perRepository(time: $at) { repository { name } points { dateTime value } }
        status {
          openCells isLoadingData
          incompleteDatapoints { ... on GenericIncompleteDatapointAlert { reason repositories { name } } }
        }
      }
    }
  }
}
"""
FIRST = Interval(TimeUnit.MONTH).index_at(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def repositories(publisher: Publisher) -> dict[str, int]:
    names = [f"git.example.com/now/{name}" for name in ("a", "b", "gone")]
    say(
        publisher,
        *(
            RepositoryRegistered(repository_id=repository_id(name), name=name, path=f"/srv/{name}")
            for name in names
        ),
    )
    return {name.rpartition("/")[2]: repository_id(name) for name in names}


def ask(api: Api, view: Any, position: list[str], **variables: object) -> list[Any]:
    asked = {"id": view["id"], "min": position, **variables}
    (found,) = api.ask(NEWEST, asked)["insightViews"]["nodes"]
    lines: list[Any] = found["dataSeries"]
    return lines


def test_the_chart_ends_with_the_newest_count(
    api: Api, publisher: Publisher, repositories: dict[str, int]
) -> None:
    view = create(api, "Now", "now")["view"]
    series = view["dataSeries"][0]["seriesId"]
    a, b, gone = repositories.values()
    say(publisher, planned(view, [a, b, gone], FIRST, FIRST + 1))
    frames = [
        completed(result({FIRST: value}, series_id=series), repository_id=repository, request_id=f"f{value}")
        for value, repository in ((1, a), (2, b), (3, gone))
    ]
    (line,) = ask(api, view, say(publisher, *frames))
    assert line["snapshot"] is None
    assert line["values"] == [6.0]
    assert len(line["points"]) == 1

    def newest(value: int, repository: int, push: int, incomplete: str | None = None) -> Any:
        snapshot = SnapshotCount(value=value, incomplete=incomplete)
        return completed(
            result({}, series_id=series, snapshot=snapshot),
            repository_id=repository,
            request_id=f"s{value}",
            pushed_offset=push,
        )

    (line,) = ask(api, view, say(publisher, newest(10, a, 1), newest(300, gone, 1)))
    assert line["values"] == [6.0, 310.0]
    assert line["snapshot"]["value"] == 310.0
    assert line["snapshot"]["isIncomplete"] is True, "b has no count yet"
    assert line["incompletePoints"] == [{"value": 310.0, "reasons": ["not-counted"]}]
    assert line["status"]["incompleteDatapoints"] == [], "what is merely awaited is no alert"
    assert line["status"]["openCells"] == 0

    removed = RepositoryRemoved(repository_id=gone)
    (line,) = ask(api, view, say(publisher, newest(20, b, 1, "missing-object"), removed))
    assert line["values"] == [6.0, 30.0], "the past stays, the present goes on without what was removed"
    assert line["complete"] == [True, False]
    assert line["times"] == [text(month(FIRST)), line["snapshot"]["dateTime"]]
    assert line["points"][-1] == {
        "dateTime": line["snapshot"]["dateTime"],
        "value": 30.0,
        "complete": False,
    }
    assert line["status"]["incompleteDatapoints"] == [
        {"reason": "missing-object", "repositories": [{"name": "git.example.com/now/b"}]}
    ]

    (line,) = ask(api, view, say(publisher, newest(25, b, 2), newest(1, b, 1)), at=None)
    assert line["values"] == [6.0, 35.0], "a push moves it, and an earlier one that comes late does not"
    assert line["snapshot"]["isIncomplete"] is False
    assert line["complete"] == [True, True]
    by_name = {
        one["repository"]["name"].rpartition("/")[2]: [point["value"] for point in one["points"]]
        for one in line["perRepository"]
    }
    assert by_name == {"a": [1.0, 10.0], "b": [2.0, 25.0], "gone": [3.0]}
    now = line["snapshot"]["dateTime"]
    (line,) = ask(api, view, [], at=now)
    assert [(one["points"], one["repository"]["name"][-1]) for one in line["at"]] == [
        ([{"dateTime": now, "value": 10.0}], "a"),
        ([{"dateTime": now, "value": 25.0}], "b"),
    ]
    (line,) = ask(api, view, [], filters={"excludeRepoRegex": "now/a$"})
    assert line["values"] == [2.0, 25.0], "a filter chooses among the repositories that are followed"
    assert line["snapshot"]["value"] == 25.0


def test_nobody_waits_for_what_a_removed_repository_owes(api: Api, publisher: Publisher) -> None:
    came, stays = (
        RepositoryRegistered(repository_id=repository_id(name), name=name, path=f"/srv/{name}")
        for name in ("git.example.com/leaving/goes", "git.example.com/leaving/stays")
    )
    leaving, staying = came.repository_id, stays.repository_id
    view = create(api, "Leaving", "leaving")["view"]
    series = view["dataSeries"][0]["seriesId"]
    counted = completed(result({FIRST: 1}, series_id=series), repository_id=staying, request_id="l1")

    def loading(*said: Any) -> tuple[bool, bool, int]:
        asked = {"id": view["id"], "min": say(publisher, *said)}
        (found,) = api.ask(NEWEST, asked)["insightViews"]["nodes"]
        status = found["dataSeries"][0]["status"]
        return found["isLoadingData"], status["isLoadingData"], status["openCells"]

    assert loading(came, stays, planned(view, [staying, leaving], FIRST, FIRST + 1)) == (True, True, 2)
    assert loading(counted) == (True, True, 1)
    assert loading(RepositoryRemoved(repository_id=leaving)) == (False, False, 0), "nobody counts it any more"
    assert loading(came) == (True, True, 1), "it is counted after all"
    assert loading(RepositoryRemoved(repository_id=staying)) == (True, True, 1)


def test_each_captured_value_ends_with_its_newest_count(
    api: Api, publisher: Publisher, repositories: dict[str, int]
) -> None:
    view = create(
        api,
        "Versions now",
        "patternType:regexp go (1\\.\\d+)",
        generatedFromCaptureGroups=True,
    )["view"]
    (definition,) = api.ask(
        """query($id: ID!) { insightViews(id: $id) { nodes {
             dataSeriesDefinitions { ... on SearchInsightDataSeriesDefinition { seriesId } } } } }""",
        {"id": view["id"]},
    )["insightViews"]["nodes"][0]["dataSeriesDefinitions"]
    series = definition["seriesId"]
    a, b, _ = repositories.values()
    said = [planned(view, [a, b], FIRST, FIRST + 1, [series])]
    counts = [(a, {"1.20": 4}), (b, {"1.20": 1, "1.21": 5})]
    results = [
        completed(
            result(
                {},
                captures=[(FIRST, "1.20", 7)],
                series_id=series,
                snapshot=SnapshotCount(value=sum(captures.values()), captures=captures),
            ),
            repository_id=repository,
            pushed_offset=1,
        )
        for repository, captures in counts
    ]
    lines = ask(api, view, say(publisher, *said, *results))
    assert {line["label"]: line["values"] for line in lines} == {"1.20": [14.0, 5.0], "1.21": [0.0, 5.0]}
    assert {line["label"]: line["snapshot"]["value"] for line in lines} == {"1.20": 5.0, "1.21": 5.0}
