"""What is not known is never shown as zero: GraphQL and CLI say the same of a hole, a zero and an absence."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.grid import Interval, TimeUnit
from tests.support.repositories import RepositoryBuilder, blob_id, remove_object
from tests.support.system import RunningSystem, eventually

_MONTH = Interval(TimeUnit.MONTH)
_CREATE = """
mutation ($input: LineChartSearchInsightInput!) {
  createLineChartSearchInsight(input: $input) { view { id } position }
}"""
_READ = """
query ($id: ID!) { insightViews(id: $id) { nodes { isLoadingData dataSeries {
  label times values complete
  points { dateTime value complete }
  incompletePoints { dateTime value reasons }
  perRepository { repository { name } points { dateTime value complete reason commit } }
  status { openCells doneCells plannedCells isLoadingData }
} } } }"""


@pytest.fixture(scope="module")
def insight(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One chart over a whole repository, one with a missing object, one without a match; a fourth stays outside."""
    folder = tmp_path_factory.mktemp("honesty")
    frames = _MONTH.newest(3, datetime.now(UTC))
    old, newer = _MONTH.instant(frames[0] - 1), _MONTH.instant(frames[0]) + timedelta(days=1)

    def repository(name: str, first: str, second: str) -> Path:
        builder = RepositoryBuilder(folder / name)
        builder.commit(old, {"a.txt": first})
        builder.commit(newer, {"b.txt": second})
        return builder.build()

    repository("whole", "needle needle\n", "needle\n")
    holed = repository("holed", "needle\n", "needle needle needle\n")
    remove_object(holed, blob_id(holed, "main", "b.txt"))
    repository("zero", "hay\n", "more hay\n")
    repository("outside", "needle\n", "needle\n")
    for name in ("whole", "holed", "zero", "outside"):
        system.cli("repo", "add", str(folder / name), "--name", f"honesty.test/{name}", "--wait")
    made = system.graphql(
        _CREATE,
        {
            "input": {
                "options": {"title": "honesty"},
                "dataSeries": [{"query": "needle", "options": {"label": "needles"}}],
                "repositoryScope": {
                    "repositories": [f"honesty.test/{name}" for name in ("whole", "holed", "zero")]
                },
                "timeScope": {"stepInterval": {"unit": "MONTH", "value": 1}},
                "frames": 3,
            }
        },
    )
    identifier = str(made["createLineChartSearchInsight"]["view"]["id"])
    eventually(lambda: not _view(system, identifier)["isLoadingData"], "the backfill to end", timeout_s=60)
    return identifier


def _view(system: RunningSystem, identifier: str) -> Any:
    return system.graphql(_READ, {"id": identifier})["insightViews"]["nodes"][0]


def test_a_sum_with_a_hole_is_a_lower_bound_and_says_so(system: RunningSystem, insight: str) -> None:
    series = _view(system, insight)["dataSeries"][0]
    # whole: 2, 3, 3; holed: 1, then a missing object beside that 1; zero: 0; and the newest state as the last frame
    assert series["values"] == [3, 4, 4, 4]
    assert series["complete"] == [True, False, False, False]
    assert [(point["value"], point["complete"]) for point in series["points"]] == [
        (3, True),
        (4, False),
        (4, False),
        (4, False),
    ]
    assert [point["reasons"] for point in series["incompletePoints"]] == [["missing-object"]] * 3


def test_hole_zero_and_absence_differ_per_repository(system: RunningSystem, insight: str) -> None:
    series = _view(system, insight)["dataSeries"][0]
    found = {
        entry["repository"]["name"]: [
            (point["value"], point["complete"], point["reason"]) for point in entry["points"]
        ]
        for entry in series["perRepository"]
    }
    assert found == {
        "honesty.test/whole": [(2, True, None), *[(3, True, None)] * 3],
        "honesty.test/holed": [(1, True, None), *[(1, False, "missing-object")] * 3],
        "honesty.test/zero": [(0, True, None)] * 4,
    }


def test_the_command_line_says_what_graphql_says(system: RunningSystem, insight: str) -> None:
    series = _view(system, insight)["dataSeries"][0]
    shown = json.loads(system.cli("insight", "show", insight, "--json").stdout)
    assert set(shown) == {"id", "title", "isLoadingData", "series"}
    assert not shown["isLoadingData"]
    [line] = shown["series"]
    assert set(line) == {"id", "label", "query", "points", "perRepository"}
    assert line["points"] == series["points"]
    assert line["perRepository"] == {
        entry["repository"]["name"]: [
            {name: point[name] for name in ("dateTime", "value", "complete")} for point in entry["points"]
        ]
        for entry in series["perRepository"]
    }
