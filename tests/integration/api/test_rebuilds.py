"""Generations through GraphQL and on the page: ordered, filled by the projector, swapped, dropped, and by admins only."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import make_context
from api.auth.login_links import make_login_link
from api.auth.user import Means, User
from api.context import GraphQLExecutor
from api.graphql.limits import OperationLimits
from api.logged import LoggedEvents
from api.operating import Operating
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from projections.catalogue import PROJECTIONS
from projections.reading import Reader
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.questions import create, text
from tests.support.projectors import eventually

GENERATION = "number version live scratch filling kept keptCurrent rows sizeBytes until positions { partition nextOffset }"
REBUILD = "id generation state reason until swap events ofAll different differences orderedBy swapMs"
PROJECTIONS_OF = (
    "query P($name: String) { projections(name: $name) { name version topics liveGeneration outdated"
    f" generations {{ {GENERATION} }} rebuilds {{ {REBUILD} }} }} }}"
)
ORDER = (
    "mutation O($name: String!, $until: DateTime, $position: String, $swap: Boolean, $reason: String, $workers: Int) {"
    " rebuildProjection(projection: $name, until: $until, untilPosition: $position, swap: $swap, reason: $reason,"
    f" workers: $workers) {{ {REBUILD} }} }}"
)
DROP = f"mutation D($name: String!, $number: Int!) {{ dropGeneration(projection: $name, generation: $number) {{ {GENERATION} }} }}"
DIFF = (
    "query D($name: String!, $a: Int!, $b: Int!, $first: Int) {"
    " projectionDiff(projection: $name, a: $a, b: $b, first: $first) { equal rows different differences } }"
)
BACK = "mutation B($name: String!) { rollbackProjection(projection: $name) { liveGeneration } }"
PAGE = "/operations/projections"
FOR_ADMINS = {
    "projections": "{ projections { name } }",
    "rebuildProjection": 'mutation { rebuildProjection(projection: "settings") { id } }',
    "pauseRebuild": 'mutation { pauseRebuild(id: "1") { id } }',
    "resumeRebuild": 'mutation { resumeRebuild(id: "1") { id } }',
    "cancelRebuild": 'mutation { cancelRebuild(id: "1") { id } }',
    "acceptRebuild": 'mutation { acceptRebuild(id: "1") { id } }',
    "projectionDiff": '{ projectionDiff(projection: "settings", a: 1, b: 1) { equal } }',
    "rollbackProjection": 'mutation { rollbackProjection(projection: "settings") { name } }',
    "dropGeneration": 'mutation { dropGeneration(projection: "settings", generation: 1) { number } }',
}


def step(name: str) -> str:
    return f"mutation S($id: ID!) {{ {name}Rebuild(id: $id) {{ {REBUILD} }} }}"


def one(api: Api, name: str) -> Any:
    (found,) = api.ask(PROJECTIONS_OF, {"name": name})["projections"]
    return found


def topics_of_live(api: Api, name: str) -> set[str]:
    """Where the live generation has a place to read on from: a projector has begun."""
    live = next(generation for generation in one(api, name)["generations"] if generation["live"])
    return {place["partition"].split("/")[0] for place in live["positions"]}


def _begun(api: Api, shown: Any) -> bool:
    return topics_of_live(api, shown["name"]) == set(shown["topics"])


def reached(api: Api, name: str, state: str) -> Any:
    assert eventually(lambda: one(api, name)["rebuilds"][0]["state"] == state), one(api, name)["rebuilds"][0]
    return one(api, name)["rebuilds"][0]


@pytest.fixture
def browser(api: Api) -> TestClient:
    """A person who is logged in."""
    client = TestClient(api.app, base_url=BASE, headers={"accept": "text/html"})
    client.get(make_login_link(api.settings.home, BASE))
    return client


def sent(browser: TestClient, path: str, **fields: str) -> Any:
    """A form of the page, sent as the browser sends it."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(PAGE).text)
    assert token is not None
    return browser.post(path, data={"csrf_token": token[1], **fields}, headers={"origin": BASE})


def test_every_projection_is_shown_with_its_live_generation(api: Api) -> None:
    found = api.ask(PROJECTIONS_OF)["projections"]
    assert [each["name"] for each in found] == [each.name for each in PROJECTIONS]
    for each, declared in zip(found, PROJECTIONS, strict=True):
        assert (each["version"], each["outdated"]) == (declared.version, False)
        live = next(generation for generation in each["generations"] if generation["live"])
        assert live["number"] == each["liveGeneration"]
        assert eventually(partial(_begun, api, each)), each


def test_a_rebuild_is_ordered_filled_by_the_projector_and_swapped_and_the_old_one_dropped(api: Api) -> None:
    create(api, "Before", "before")
    before = one(api, "insights")["liveGeneration"]
    ordered = api.ask(ORDER, {"name": "insights", "reason": "to see it work"})["rebuildProjection"]
    assert (ordered["state"], ordered["orderedBy"], ordered["swap"]) == ("ORDERED", "admin", True)
    done = reached(api, "insights", "SWAPPED")
    assert done["generation"] == ordered["generation"] > before
    assert (done["different"], done["differences"]) == (0, [])
    found = one(api, "insights")
    assert found["liveGeneration"] == ordered["generation"]
    assert api.ask('{ insightViews(find: "Before") { totalCount } }')["insightViews"]["totalCount"] == 1
    refused = api.error(DROP, {"name": "insights", "number": ordered["generation"]})
    assert refused["extensions"]["code"] == "REFUSED"
    assert "is the live one" in refused["message"]
    assert api.ask(DROP, {"name": "insights", "number": before})["dropGeneration"]["number"] == before
    assert before not in [each["number"] for each in one(api, "insights")["generations"]]


def test_a_generation_of_the_past_waits_to_be_read_and_is_dropped_on_the_page(
    api: Api, browser: TestClient
) -> None:
    answer = sent(browser, f"{PAGE}/settings/rebuild", until="not a time")
    assert answer.status_code == 422
    assert "is no time" in answer.text
    until = datetime.now(UTC)
    assert (
        sent(browser, f"{PAGE}/settings/rebuild", until=text(until), reason="what was set").status_code == 200
    )
    done = reached(api, "settings", "READY")
    assert (done["until"], done["swap"], done["reason"] != "") == (text(until), False, True)
    page = browser.get(PAGE).text
    assert f"settings:{done['generation']}" in page
    drop = f"{PAGE}/settings/drop?generation={done['generation']}"
    assert drop in page
    assert "Type <strong>settings</strong>" in browser.get(drop).text
    unsure = sent(browser, drop, typed="setting")
    assert (unsure.status_code, "Type settings to go on." in unsure.text) == (422, True)
    assert done["generation"] in [each["number"] for each in one(api, "settings")["generations"]]
    assert sent(browser, drop, typed="settings").status_code == 200
    assert done["generation"] not in [each["number"] for each in one(api, "settings")["generations"]]
    assert browser.get(drop).status_code == 404


def test_one_that_is_not_to_be_swapped_is_accepted_later(api: Api, browser: TestClient) -> None:
    ordered = api.ask(ORDER, {"name": "repositories", "swap": False})["rebuildProjection"]
    ready = reached(api, "repositories", "READY")
    assert one(api, "repositories")["liveGeneration"] != ready["generation"]
    assert 'id="accept-repositories"' in browser.get(PAGE).text
    assert sent(browser, f"{PAGE}/rebuilds/{ordered['id']}/accept").status_code == 200
    reached(api, "repositories", "SWAPPED")
    assert one(api, "repositories")["liveGeneration"] == ready["generation"]
    compared = browser.get(f"{PAGE}/repositories/diff?a=1&b={ready['generation']}").text
    assert "Equal, row for row" in compared
    assert "Type <strong>repositories</strong>" in browser.get(f"{PAGE}/repositories/rollback").text
    assert eventually(
        lambda: sent(browser, f"{PAGE}/repositories/rollback", typed="repositories").status_code == 200
    )
    assert one(api, "repositories")["liveGeneration"] == 1
    again = sent(browser, f"{PAGE}/rebuilds/{ordered['id']}/pause")
    assert (again.status_code, "can be paused" in again.text) == (422, True)


@pytest.mark.parametrize(
    ("query", "variables", "code", "words"),
    [
        (ORDER, {"name": "nothing"}, "INVALID_INPUT", "there is no projection"),
        (ORDER, {"name": "settings", "workers": 0}, "REFUSED", "0 workers"),
        (ORDER, {"name": "settings", "position": "x"}, "REFUSED", "x"),
        (ORDER, {"name": "settings", "position": "millstream.results/0@1"}, "REFUSED", "does not read"),
        (DIFF, {"name": "settings", "a": 1, "b": 99}, "INVALID_INPUT", "no generation 99"),
        (DIFF, {"name": "settings", "a": 1, "b": 1, "first": 201}, "INVALID_INPUT", "between 0 and 200"),
        (BACK, {"name": "settings"}, "REFUSED", "no generation to go back to"),
        (DROP, {"name": "settings", "number": 99}, "INVALID_INPUT", "no generation 99"),
        (step("pause"), {"id": "999"}, "INVALID_INPUT", "no rebuild 999"),
        (step("resume"), {"id": "x"}, "INVALID_INPUT", "no id of a rebuild"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    api: Api, query: str, variables: dict[str, object], code: str, words: str
) -> None:
    error = api.error(query, variables)
    assert error["extensions"]["code"] == code
    assert words in error["message"]


@pytest.fixture
def executor(api: Api) -> Iterator[GraphQLExecutor]:
    """The schema, asked by whom the test names."""
    engine = make_engine(api.settings, Role.APP, pool_size=2)
    reader, operating, log = Reader(engine), Operating(api.settings), LoggedEvents(api.settings)
    with Publisher(api.settings) as publisher:
        yield make_context(api.settings, reader, publisher, log, operating, OperationLimits()).execute_graphql
    reader.close()
    operating.close()
    log.close()
    engine.dispose()


@pytest.mark.parametrize("field", FOR_ADMINS)
def test_only_a_site_admin_may(executor: GraphQLExecutor, field: str) -> None:
    somebody = User(name="somebody", site_admin=False, means=Means.TOKEN)
    answer = asyncio.run(executor(FOR_ADMINS[field], user=somebody))
    (error,) = answer.errors
    extensions = error["extensions"]
    assert isinstance(extensions, dict)
    assert (answer.data, extensions["code"]) == (None, "NOT_PERMITTED")
