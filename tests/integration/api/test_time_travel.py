"""What did this chart show then? Replayed until a time, read with ``@atGeneration``, equal to the answer of that time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text as statement
from starlette.testclient import TestClient

from api.app import make_context
from api.auth.login_links import make_login_link
from api.auth.user import Means, User
from api.graphql.ids import insight_id_of
from api.graphql.limits import OperationLimits
from api.logged import LoggedEvents
from api.operating import Operating
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import OWNER, Role
from projections.reading import Reader
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.execution import run_rebuild
from schemas.events import RepositoryRegistered, RepositoryRemoved, RepositoryRenamed
from schemas.grid import Interval, TimeUnit
from schemas.ids import repository_id
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.questions import CHART, chart, create, planned, say, text
from tests.support.projecting import completed, month, result
from tests.support.projectors import eventually

FIRST = Interval(TimeUnit.MONTH).index_at(datetime(2026, 1, 1, tzinfo=UTC))
READ = ("insights", "recordings", "repositories", "series_points")
REBUILD = "mutation R($name: String!, $until: DateTime) { rebuildProjection(projection: $name, until: $until) { id generation } }"
REBUILDS = (
    "query R($name: String) { projections(name: $name) { rebuilds { id generation state until reason } } }"
)
AS_OF = "{ asOf(projections: [%s]) { projection generation replayedUntil appliedUpTo behind } }"
COUNTED = "query Counted { insightViews { totalCount } }"


class Past:
    """A chart at a time that was recorded then, and the generations that hold the log until that time."""

    def __init__(self, view: Any, until: datetime, answer: Any, generations: dict[str, int]) -> None:
        self.view = view
        self.until = until
        self.answer = answer
        self.generations = generations

    def directives(self, *names: str) -> str:
        return " ".join(
            f'@atGeneration(projection: "{name}", generation: {self.generations[name]})'
            for name in names or READ
        )


def at(query: str, directives: str) -> str:
    """``query`` with directives at its operation."""
    head, brace, rest = query.partition(") {") if "(" in query.partition("{")[0] else query.partition(" {")
    return f"{head}{brace[:-1].rstrip()} {directives} {{{rest}"


@pytest.fixture(scope="module")
def past(api: Api, publisher: Publisher) -> Past:
    """Two repositories counted; then, after the time, all of it is changed, renamed, removed and deleted."""
    names = ["git.example.com/then/a", "git.example.com/then/b"]
    a, b = (repository_id(name) for name in names)
    say(
        publisher,
        *(RepositoryRegistered(repository_id=repository_id(n), name=n, path=f"/srv/{n}") for n in names),
    )
    view = create(api, "Then", "then")["view"]
    series = view["dataSeries"][0]["seriesId"]
    say(publisher, planned(view, [a, b], FIRST, FIRST + 3))
    (position,) = say(
        publisher,
        completed(result({FIRST: 4, FIRST + 1: 5}, series_id=series), repository_id=a, request_id="then-a"),
    )
    answer = chart(api, view, min_position=[position])
    until = datetime.now(UTC)
    # The log's clock counts in milliseconds: what comes now is of a later one.
    assert eventually(lambda: datetime.now(UTC) > until + timedelta(milliseconds=5))

    counted = result({FIRST: 40, FIRST + 1: 50, FIRST + 2: 60}, series_id=series)
    positions = say(
        publisher,
        completed(counted, repository_id=a, request_id="then-a", attempt=2),
        completed(counted, repository_id=b, request_id="then-b"),
        RepositoryRenamed(repository_id=a, name="git.example.com/now/a"),
        RepositoryRemoved(repository_id=b),
    )
    assert chart(api, view, min_position=positions) != answer
    api.ask("mutation D($id: ID!) { deleteInsightView(id: $id) { alwaysNil } }", {"id": view["id"]})
    return Past(view, until, answer, {name: rebuilt(api, name, until) for name in READ})


def rebuilt(api: Api, name: str, until: datetime | None) -> int:
    """Ordered as an operator orders it, and done by whoever takes it; the generation."""
    ordered = api.ask(REBUILD, {"name": name, "until": None if until is None else text(until)})[
        "rebuildProjection"
    ]
    with suppress(RebuildRefused):  # the projector was quicker
        run_rebuild(api.settings, int(ordered["id"]), threading.Event())

    def state() -> Any:
        (found,) = api.ask(REBUILDS, {"name": name})["projections"]
        return next(one for one in found["rebuilds"] if one["id"] == ordered["id"])

    assert eventually(lambda: state()["state"] in ("READY", "SWAPPED", "FAILED")), state()
    assert state()["state"] == "READY", state()
    return int(ordered["generation"])


def test_the_chart_of_then_is_answered_as_it_was_answered_then(api: Api, past: Past) -> None:
    variables = {"id": past.view["id"]}
    (found,) = api.ask(at(CHART, past.directives()), variables)["insightViews"]["nodes"]
    assert found == past.answer
    (line,) = found["dataSeries"]
    assert line["values"] == [4.0, 5.0, None]
    assert line["perRepository"][0]["repository"]["name"] == "git.example.com/then/a"
    assert api.ask(CHART, variables)["insightViews"]["nodes"] == []


def test_one_projection_of_then_stands_beside_the_others_of_today(api: Api, past: Past) -> None:
    counted = api.ask(at(COUNTED, past.directives("insights")))["insightViews"]["totalCount"]
    assert counted == api.ask(COUNTED)["insightViews"]["totalCount"] + 1


def test_the_answer_says_which_generation_it_comes_from_and_until_when(api: Api, past: Past) -> None:
    asked = AS_OF % '"insights", "series_points"'

    def answered() -> Any:
        return api.post(at(f"query A {asked}", past.directives("series_points"))).json()

    # Projectors say every five seconds where the log ends.
    assert eventually(lambda: answered()["data"]["asOf"][1]["behind"])
    body = answered()
    insights, points = body["data"]["asOf"]
    assert points == {
        "projection": "series_points",
        "generation": past.generations["series_points"],
        "replayedUntil": text(past.until),
        "appliedUpTo": text(past.until),
        "behind": True,
    }
    assert (insights["generation"], insights["replayedUntil"]) == (1, None)
    freshness = body["extensions"]["freshness"]
    assert freshness["series_points"]["generation"] == past.generations["series_points"]


def test_the_page_and_its_files_show_it_under_a_banner(api: Api, past: Past) -> None:
    browser = TestClient(api.app, base_url=BASE, headers={"accept": "text/html"})
    browser.get(make_login_link(api.settings.home, BASE))
    path = f"/insights/{insight_id_of(past.view['id'])}"
    assert browser.get(path).status_code == 404, "it is deleted"
    query = "&".join(
        f"generation={past.generations[name]}"
        if name == "series_points"
        else f"generation={name}:{past.generations[name]}"
        for name in READ
    )
    page = browser.get(f"{path}?{query}")
    assert page.status_code == 200
    assert f"generation {past.generations['series_points']} of series_points, replayed until" in page.text
    assert "This is not what is known today." in page.text
    assert 'id="live"' not in page.text
    assert 'id="controls"' not in page.text
    values = [row.split(",")[4] for row in browser.get(f"{path}/data.csv?{query}").text.splitlines()[1:]]
    assert values == ["4", "5", ""]
    assert f"{month(FIRST):%Y-%m-%d}" in page.text


def _refusals(past: Past) -> dict[str, tuple[str, str, str]]:
    points = past.generations["series_points"]
    return {
        "no such generation": (
            COUNTED,
            '@atGeneration(projection: "series_points", generation: 999)',
            "no generation 999",
        ),
        "no such projection": (
            COUNTED,
            '@atGeneration(projection: "nothing", generation: 1)',
            "no projection 'nothing'",
        ),
        "not read": (
            COUNTED,
            '@atGeneration(projection: "settings", generation: 1)',
            "this operation does not read settings",
        ),
        "twice": (
            COUNTED,
            past.directives("series_points")
            + f' @atGeneration(projection: "series_points", generation: {points + 1})',
            "were asked for",
        ),
        "a position that it does not have": (
            'query P { insightViews(minPosition: ["millstream.results/0@0"]) { totalCount } }',
            past.directives("series_points"),
            "is not waited for",
        ),
    }


@pytest.mark.parametrize(
    "wrong",
    ["no such generation", "no such projection", "not read", "twice", "a position that it does not have"],
)
def test_what_cannot_be_read_is_refused_in_words(api: Api, past: Past, wrong: str) -> None:
    query, directives, words = _refusals(past)[wrong]
    answer = api.post(at(query, directives))
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert words in error["message"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert error["extensions"]["remedy"]


def test_another_build_s_tables_and_what_is_not_whole_are_refused_in_words(api: Api, past: Past) -> None:
    asked = at(COUNTED, past.directives("series_points"))
    schema = f"series_points_g{past.generations['series_points']}"
    number = past.generations["series_points"]
    for change, undo, words in (
        (
            f"update {schema}.generation set version = version + 1",
            f"update {schema}.generation set version = version - 1",
            "this build has version",
        ),
        (
            f"update {schema}.generation set fingerprint = 'x' || fingerprint",
            f"update {schema}.generation set fingerprint = substr(fingerprint, 2)",
            "with its own tables",
        ),
        (
            f"update runtime.rebuilds set state = 'PAUSED' where generation = {number} and projection = 'series_points'",
            f"update runtime.rebuilds set state = 'READY' where generation = {number} and projection = 'series_points'",
            "is not whole: its rebuild is PAUSED",
        ),
    ):
        with _changed(api, change, undo):
            assert words in api.post(asked).json()["errors"][0]["message"]
    assert api.ask(asked)


@contextmanager
def _changed(api: Api, change: str, undo: str) -> Iterator[None]:
    engine = make_engine(api.settings, Role.PROJECTOR, pool_size=1)
    try:
        for each in (change, undo):
            with engine.begin() as connection:
                connection.execute(statement(f"set local role {OWNER}"))
                connection.execute(statement(each))
            if each is change:
                yield
    finally:
        engine.dispose()


def test_whoever_is_no_site_admin_reads_live_generations_only(api: Api, past: Past) -> None:
    engine = make_engine(api.settings, Role.APP, pool_size=2)
    reader, operating, log = Reader(engine), Operating(api.settings), LoggedEvents(api.settings)
    reader_only = User(name="reader", site_admin=False, means=Means.TOKEN)
    with Publisher(api.settings) as publisher:
        context = make_context(api.settings, reader, publisher, log, operating, OperationLimits())
        asked = at(COUNTED, past.directives("series_points"))
        refused = asyncio.run(context.execute_graphql(asked, user=reader_only))
        live = asyncio.run(context.execute_graphql(COUNTED, user=reader_only))
    reader.close()
    operating.close()
    log.close()
    engine.dispose()
    extensions = refused.errors[0]["extensions"]
    assert isinstance(extensions, dict)
    assert (refused.data, extensions["code"]) == (None, "NOT_PERMITTED")
    assert live.errors == []
