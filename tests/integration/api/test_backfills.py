"""Site settings and the queue of backfills through GraphQL: read, changed, refused."""

import pytest

from api.graphql.ids import insight_id_of, insight_node_id
from infra.kafka.producer import Publisher
from schemas.events import (
    Lane,
    RecordingRequest,
    RecordingRequested,
    RequestedSeries,
    SearchCompleted,
    SearchFailed,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.registry import Payload
from tests.integration.api.conftest import Api
from tests.integration.api.questions import CREATE, definition, say

SETTINGS = "query S($min: [String!]) { siteSettings(minPosition: $min) { key value default least most help changedBy } }"
CHANGE = (
    "mutation C($key: String!, $value: Float) { changeSiteSetting(key: $key, value: $value) {"
    " position setting { key value changedBy } } }"
)
ITEM = (
    "id insightViewId insightViewTitle seriesLabel seriesSearchQuery creator { username } backfillQueueStatus {"
    " state isPaused queuePosition cost percentComplete createdAt startedAt completedAt errors runtime }"
)
QUEUE = (
    "query Q($find: String, $after: String, $first: Int, $states: [InsightQueueItemState!], $min: [String!]) {"
    " insightAdminBackfillQueue(textSearch: $find, after: $after, first: $first, states: $states, minPosition: $min,"
    f" orderBy: QUEUE_POSITION) {{ nodes {{ {ITEM} }} totalCount pageInfo {{ endCursor hasNextPage hasPreviousPage }} }} }}"
)
RATE = "insights.query.worker.rateLimit"


def decide(field: str) -> str:
    return f"mutation D($id: ID!) {{ item: {field}(id: $id) {{ {ITEM} }} }}"


def test_a_setting_is_changed_and_given_back(api: Api) -> None:
    before = {one["key"]: one for one in api.ask(SETTINGS)["siteSettings"]}
    assert (before[RATE]["value"], before[RATE]["changedBy"]) == (None, None)
    changed = api.ask(CHANGE, {"key": RATE, "value": 12.5})["changeSiteSetting"]
    assert changed["setting"] == {"key": RATE, "value": 12.5, "changedBy": "admin"}
    after = {
        one["key"]: one["value"] for one in api.ask(SETTINGS, {"min": [changed["position"]]})["siteSettings"]
    }
    assert after[RATE] == 12.5
    assert api.ask(CHANGE, {"key": RATE})["changeSiteSetting"]["setting"]["value"] is None


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [("no.such.setting", 1.0, "key"), (RATE, -1.0, "value"), (RATE, 1e12, "value")],
)
def test_a_setting_out_of_its_bounds_is_refused(api: Api, key: str, value: float, field: str) -> None:
    error = api.error(CHANGE, {"key": key, "value": value})
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_INPUT", field)


def requested(insight_id: int, place: int, query: str) -> RecordingRequest:
    return RecordingRequest(
        request_id=f"{insight_id}-{place}",
        repository_id=place,
        insight_id=insight_id,
        creator="admin",
        lane=Lane.BACKFILL,
        cost=500.0,
        series=[
            RequestedSeries(
                series_id=series_id(SeriesIdentity(query=query)),
                query=query,
                unit=TimeUnit.MONTH,
                value=1,
                frames=[(600, 603)],
            )
        ],
    )


def outcome(one: RecordingRequest, *, failed: str | None = None) -> Payload:
    if failed is None:
        return SearchCompleted(
            request_id=one.request_id,
            repository_id=one.repository_id,
            insight_id=one.insight_id,
            attempt=1,
            matcher_version=1,
            engine="git",
            commits=[],
            series=[],
        )
    return SearchFailed(
        request_id=one.request_id,
        repository_id=one.repository_id,
        insight_id=one.insight_id,
        attempt=1,
        reason=failed,
        message="it was",
        final=True,
        series=[],
    )


def test_the_queue_shows_states_and_places_and_takes_decisions(api: Api, publisher: Publisher) -> None:
    names = ("queued one", "busy one", "failed one")
    views = {
        name: insight_id_of(
            api.ask(CREATE, {"input": definition(name, f"{name} query")})["createLineChartSearchInsight"][
                "view"
            ]["id"]
        )
        for name in names
    }
    queued, busy, failed = (
        [requested(views[name], place, f"{name} query") for place in (1, 2)] for name in names
    )
    positions = say(publisher, *(RecordingRequested(request=one) for one in busy))
    positions += say(publisher, *(RecordingRequested(request=one) for one in (*queued, *failed)))
    positions += say(publisher, outcome(busy[0]), outcome(failed[0], failed="timeout"), outcome(failed[1]))
    asked = {"find": "one", "min": [str(position) for position in positions]}
    page = api.ask(QUEUE, asked)["insightAdminBackfillQueue"]
    shown = {item["insightViewTitle"]: item for item in page["nodes"]}
    states = {name: shown[name]["backfillQueueStatus"] for name in names}
    assert page["totalCount"] == 3
    assert [states[name]["state"] for name in names] == ["QUEUED", "PROCESSING", "FAILED"]
    assert states["failed one"]["errors"] == ["timeout: 1 request"]
    assert (states["busy one"]["queuePosition"], states["queued one"]["queuePosition"]) == (1, 2)
    assert states["failed one"]["queuePosition"] is None
    assert states["queued one"]["cost"] == 1000
    assert shown["busy one"]["creator"] == {"username": "admin"}

    only = api.ask(QUEUE, {"find": "one", "states": ["FAILED"]})["insightAdminBackfillQueue"]
    assert [item["insightViewTitle"] for item in only["nodes"]] == ["failed one"]
    first = api.ask(QUEUE, {"find": "one", "first": 2})["insightAdminBackfillQueue"]
    assert first["pageInfo"]["hasNextPage"]
    rest = api.ask(QUEUE, {"find": "one", "after": first["pageInfo"]["endCursor"]})[
        "insightAdminBackfillQueue"
    ]
    assert [item["id"] for item in (*first["nodes"], *rest["nodes"])] == [
        item["id"] for item in page["nodes"]
    ]

    moved = api.ask(
        decide("moveInsightSeriesBackfillToFrontOfQueue"), {"id": insight_node_id(views["queued one"])}
    )["item"]
    assert moved["backfillQueueStatus"]["queuePosition"] == 1
    back = api.ask(decide("moveInsightSeriesBackfillToBackOfQueue"), {"id": moved["id"]})["item"]
    assert (back["id"], back["backfillQueueStatus"]["queuePosition"]) == (moved["id"], 2)
    assert api.ask(decide("pauseInsightBackfill"), {"id": moved["id"]})["item"]["backfillQueueStatus"][
        "isPaused"
    ]
    resumed = api.ask(decide("resumeInsightBackfill"), {"id": moved["id"]})["item"]
    assert not resumed["backfillQueueStatus"]["isPaused"]
    for field in ("cancelInsightBackfill", "retryInsightSeriesBackfill"):
        assert api.ask(decide(field), {"id": moved["id"]})["item"]["id"] == moved["id"]


def test_a_decision_about_what_is_not_there_is_refused(api: Api) -> None:
    assert (
        api.error(decide("pauseInsightBackfill"), {"id": insight_node_id(1)})["extensions"]["code"]
        == "NOT_FOUND"
    )
    assert (
        api.error(decide("pauseInsightBackfill"), {"id": "nonsense"})["extensions"]["code"] == "INVALID_INPUT"
    )
