"""Operations by GraphQL, on the page and in its stream: all tell the report that a projector has kept."""

import httpx
import pytest

from projections.catalogue import PROJECTIONS
from tests.integration.api.conftest import Api
from tests.integration.api.serving import served
from tests.support.projectors import eventually

_GROUPS = """{
  consumerGroups {
    sampledAt problems canary { reason }
    groups { group kind name generation state reason records seconds members history { times records } }
  }
}"""
_GROUP = """query ($name: String!) {
  consumerGroup(name: $name) { name state window { records } partitions { topic partition nextOffset end records state } }
}"""


@pytest.fixture(scope="module")
def looked(api: Api) -> None:
    """The projector has looked, after it had been given its partitions."""

    def all_well() -> bool:
        groups = api.ask(_GROUPS)["consumerGroups"]["groups"]
        states = {one["name"]: one["state"] for one in groups if one["kind"] == "PROJECTION"}
        return set(states) == {one.name for one in PROJECTIONS} and set(states.values()) == {"OK"}

    assert eventually(all_well, 120.0)


def _page(api: Api, path: str) -> httpx.Response:
    answer: httpx.Response = api.http.get(path, headers={"authorization": f"token {api.token}"})
    return answer


def test_every_projection_is_told_with_its_state_and_reason(api: Api, looked: None) -> None:
    told = api.ask(_GROUPS)["consumerGroups"]
    groups = {one["name"]: one for one in told["groups"] if one["kind"] == "PROJECTION"}
    assert set(groups) == {one.name for one in PROJECTIONS}
    assert told["problems"] == []
    assert all(one["state"] and one["reason"] for one in groups.values())
    one = groups["repositories"]
    assert (one["generation"], one["records"], one["seconds"]) == (1, 0, 0)
    assert len(one["history"]["times"]) == len(one["history"]["records"]) >= 1


def test_one_group_is_told_partition_by_partition(api: Api, looked: None) -> None:
    found = api.ask(_GROUP, {"name": "event_index"})["consumerGroup"]
    topics = next(one.topics for one in PROJECTIONS if one.name == "event_index")
    assert {part["topic"] for part in found["partitions"]} == {topic.value for topic in topics}
    assert all(part["nextOffset"] + part["records"] == part["end"] for part in found["partitions"])
    assert found["window"]
    assert api.ask(_GROUP, {"name": "nobody"})["consumerGroup"] is None


def test_the_page_shows_the_readers_and_one_of_them(api: Api, looked: None) -> None:
    page = _page(api, "/operations").text
    for one in PROJECTIONS:
        assert f"{one.name} g1</a>" in page
    assert 'href="/operations/projections"' in page
    assert 'href="/operations/dead-letters"' in page
    assert '<svg class="spark"' in page
    one_group = _page(api, "/operations/groups/millstream.projection.settings.g1")
    assert one_group.status_code == 200
    assert "millstream.settings/0" in one_group.text
    assert _page(api, "/operations/groups/nobody").status_code == 404


def test_the_stream_says_when_somebody_has_looked(api: Api, looked: None) -> None:
    with served(api) as (host, port), httpx.Client(timeout=30, trust_env=False) as client:
        headers = {"authorization": f"token {api.token}"}
        with client.stream("GET", f"http://{host}:{port}/operations/live?known=x", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            said = (line for line in answer.iter_lines() if line.startswith(("event:", "data:")))
            assert next(said) == "event: moved"
            first = float(next(said).removeprefix("data: ").partition("-")[0])
            assert next(said) == "event: moved", "and again, at the next look"
            assert float(next(said).removeprefix("data: ").partition("-")[0]) > first
        assert client.get(f"http://{host}:{port}/operations/live").status_code == 401
