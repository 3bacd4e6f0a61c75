"""Where is my event: by id and by position, up and down its chain, with what is owed; over real Kafka and PostgreSQL."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from api.app import make_context
from api.auth.user import Means, User
from api.cli.main import cli
from api.graphql.limits import OperationLimits
from api.logged import LoggedEvents
from api.operating import Operating
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.codec import encode, new_event
from schemas.envelope import Event, Position
from schemas.events import (
    DropOrdered,
    InsightCreated,
    RecordPlace,
    RepositoryRefreshRequested,
    RepositoryRegistered,
    SeriesDefinition,
)
from schemas.grid import TimeUnit
from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.support.projecting import SERIES
from tests.support.projectors import eventually

TRACE = """
query Trace($id: String, $source: String, $position: String, $depth: Int, $first: Int) {
  event(id: $id, source: $source, position: $position, depth: $depth, first: $first) {
    found words statusOnly id source type subject position state reason duplicateOf otherSources
    publications { position state }
    record { reading reason path structured correlationId causationId version key headers { name value } payload }
    projections { projection passing nextOffset passedBy reason }
    groups { group passed agents }
    causes { depth id type position }
    effects { depth id type position causedBy state }
    effectCounts { type count }
    hasMoreEffects
    owed { obligation agents ofThis message opened failedAt }
  }
}
"""
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands reach this installation."""
    monkeypatch.setenv("MILLSTREAM_HOME", str(api.settings.home))
    monkeypatch.setenv("MILLSTREAM_KAFKA_BOOTSTRAP", api.settings.kafka_bootstrap)
    monkeypatch.setenv("MILLSTREAM_DATABASE_URL", api.settings.database_url.get_secret_value())


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    with ExitStack() as resources:
        database = engine(settings, Role.APP, pool_size=2)
        resources.callback(database.dispose)
        made = Reader(database)
        resources.callback(made.close)
        yield made


def said(payload: Any, event_id: str, cause: Event | None = None, source: str = "//trace") -> Event:
    return new_event(payload, source=source, time=NOW, event_id=event_id, cause=cause)


def registered(number: int) -> RepositoryRegistered:
    return RepositoryRegistered(repository_id=number, name=f"local/trace{number}", path="/p")


def publish(publisher: Publisher, reader: Reader, *events: Event) -> list[Position]:
    """On the log, and passed by all that the trace reads."""
    positions = publisher.publish(list(events))
    applied(reader, positions)
    return positions


READERS = ("repositories", "obligations", "event_index", "commit_graph", "access", "monitors")
"""Who reads the topic of repositories."""


def applied(reader: Reader, positions: list[Position]) -> None:
    for name in ("insights", *READERS):
        assert reader.wait_for(name, positions, 60.0), name


def trace(api: Api, **asked: object) -> Any:
    return api.ask(TRACE, asked)["event"]


def run(*arguments: str, expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == expect, done.output
    return done


def test_an_event_is_followed_through_projections_and_its_chain(
    api: Api, publisher: Publisher, reader: Reader
) -> None:
    root = said(registered(501), "chain-1")
    asked = said(RepositoryRefreshRequested(repository_id=501), "chain-2", root)
    again = said(RepositoryRefreshRequested(repository_id=501), "chain-3", asked)
    aside = said(RepositoryRefreshRequested(repository_id=501), "chain-4", root)
    positions = publish(publisher, reader, root, asked, again, aside)
    found = trace(api, id="chain-1")
    assert (found["found"], found["position"], found["state"]) == (True, str(positions[0]), "ACCEPTED")
    assert found["record"]["reading"] == "EVENT"
    assert [(one["id"], one["depth"]) for one in found["effects"]] == [
        ("chain-2", 1),
        ("chain-3", 2),
        ("chain-4", 1),
    ]
    assert found["effects"][1]["causedBy"] == str(positions[1])
    assert found["effectCounts"] == [{"type": "millstream.repository.refresh_requested", "count": 2}]
    passing = {one["projection"]: one["passing"] for one in found["projections"]}
    assert passing == dict.fromkeys(READERS, "APPLIED")
    assert all(one["passedBy"] for one in found["projections"])
    assert any("It was accepted, as version 1" in line for line in found["words"])
    up = trace(api, position=str(positions[2]))
    assert [(one["id"], one["depth"]) for one in up["causes"]] == [("chain-2", 1), ("chain-1", 2)]
    assert up["record"]["correlationId"] == "chain-1"


def test_bounds_cut_the_chain_and_it_is_said(api: Api, publisher: Publisher, reader: Reader) -> None:
    root = said(registered(502), "wide")
    many = [said(RepositoryRefreshRequested(repository_id=502), f"wide-{n}", root) for n in range(6)]
    deep = [root]
    for n in range(4):
        deep.append(said(RepositoryRefreshRequested(repository_id=502), f"deep-{n}", deep[-1]))
    publish(publisher, reader, *deep[:1], *many, *deep[1:])
    few = trace(api, id="wide", first=3)
    assert (len(few["effects"]), few["hasMoreEffects"]) == (3, True)
    assert few["effectCounts"][0]["count"] == 7, "what is cut is counted"
    flat = trace(api, id="wide", depth=2)
    assert (max(one["depth"] for one in flat["effects"]), flat["hasMoreEffects"]) == (2, True)
    whole = trace(api, id="wide")
    assert (len(whole["effects"]), whole["hasMoreEffects"]) == (10, False)


def test_events_that_name_each_other_as_cause_end(api: Api, publisher: Publisher, reader: Reader) -> None:
    one = said(RepositoryRefreshRequested(repository_id=503), "ring-a")
    other = said(RepositoryRefreshRequested(repository_id=503), "ring-b", one)
    ring = msgspec.structs.replace(one, causation_id="ring-b")
    alone = msgspec.structs.replace(one, id="ring-c", causation_id="ring-c")
    publish(publisher, reader, said(registered(503), "ring-root"), ring, other, alone)
    found = trace(api, id="ring-a")
    assert [link["id"] for link in found["effects"]] == ["ring-b", "ring-a"]
    assert [link["id"] for link in found["causes"]] == ["ring-b", "ring-a"]
    assert [link["id"] for link in trace(api, id="ring-c")["effects"]] == ["ring-c"]


def test_what_never_came_is_said_in_words(api: Api, publisher: Publisher, reader: Reader) -> None:
    found = trace(api, id="no such id")
    assert found["found"] is False
    assert "No event with the id no such id" in found["words"][0]
    assert any("search by position" in line for line in found["words"])
    nothing = trace(api, position=f"{Topic.SETTINGS}/0@99999")
    assert (nothing["found"], nothing["words"]) == (
        False,
        [f"Nothing was written at {Topic.SETTINGS}/0@99999 yet: the partition ends at 0."],
    )
    assert "There is no partition" in trace(api, position=f"{Topic.SETTINGS}/7@0")["words"][0]
    done = run("event", "no such id", expect=1)
    assert "No event with the id no such id" in done.stdout


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "named by its id or by its position"),
        ({"id": "a", "position": f"{Topic.RESULTS}/0@0"}, "named by its id or by its position"),
        ({"position": "somewhere"}, "is no position"),
        ({"position": "other.topic/0@0"}, "has no topic other.topic"),
        ({"id": "a\0b"}, "NUL"),
        ({"id": "a", "first": 100_000}, "has to lie between 0 and 200"),
    ],
)
def test_what_names_no_event_is_refused_with_the_reason(
    api: Api, asked: dict[str, object], words: str
) -> None:
    error = api.error(TRACE, asked)
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert words in error["message"]


def test_dead_letters_unknown_types_and_structured_events_are_followed_too(
    api: Api, publisher: Publisher, reader: Reader
) -> None:
    key, value, headers = encode(said(registered(504), "broken"))
    topic = Topic.REPOSITORIES.value
    unknown = tuple(
        (name, {"ce_type": b"org.example.thing", "ce_id": b"foreign"}.get(name, data))
        for name, data in headers
    )
    structured = (
        b'{"specversion":"1.0","id":"whole","source":"//s","type":"millstream.repository.refresh_requested",'
        b'"time":"2026-11-22T12:00:00Z","causationid":"broken","data":{"repository_id":504}}'
    )
    content = (("content-type", b"application/cloudevents+json"),)
    positions = [
        publisher.publish_raw(topic, key, b"{}", headers),
        publisher.publish_raw(topic, b"504", b"\x00", ()),
        publisher.publish_raw(topic, key, value, unknown),
        publisher.publish_raw(topic, b"504", structured, content),
    ]
    applied(reader, positions)
    broken = trace(api, id="broken")
    assert broken["record"]["reading"] == "DEAD_LETTER"
    assert broken["state"] == "REJECTED"
    assert {one["passing"] for one in broken["projections"]} == {"DEAD_LETTER", "APPLIED"}
    assert any("For repositories it is a dead letter" in line for line in broken["words"])
    assert [one["id"] for one in broken["effects"]] == ["whole"]
    bare = trace(api, position=str(positions[1]))
    assert (bare["found"], bare["id"], bare["record"]["payload"]) == (True, None, "\x00")
    foreign = trace(api, id="foreign")
    assert foreign["record"]["reading"] == "UNKNOWN_TYPE"
    assert "SKIPPED" in {one["passing"] for one in foreign["projections"]}
    whole = trace(api, id="whole", source="//s")
    assert whole["record"]["structured"] is True
    assert [one["id"] for one in whole["causes"]] == ["broken"]


def test_what_an_operator_dropped_is_told(api: Api, publisher: Publisher, reader: Reader) -> None:
    key, _, headers = encode(said(registered(509), "dropped"))
    position = publisher.publish_raw(Topic.REPOSITORIES.value, key, b"{}", headers)
    applied(reader, [position])
    order = DropOrdered(
        projection="repositories",
        records=[RecordPlace(topic=position.topic, partition=position.partition, offset=position.offset)],
        reason="a test",
        ordered_by="admin",
    )
    publisher.publish([said(order, "drop-it")])

    def told() -> str:
        found = trace(api, id="dropped")["projections"]
        return next(str(one["passing"]) for one in found if one["projection"] == "repositories")

    assert eventually(lambda: told() == "DROPPED", 60.0), told()


def test_a_repeat_and_another_source_of_the_same_id_are_told_apart(
    api: Api, publisher: Publisher, reader: Reader
) -> None:
    first = said(registered(505), "same")
    publish(publisher, reader, first)
    publish(publisher, reader, first)
    publish(publisher, reader, said(RepositoryRefreshRequested(repository_id=505), "same", source="//other"))
    newest = trace(api, id="same")
    assert (newest["source"], newest["otherSources"]) == ("//other", ["//trace"])
    named = trace(api, id="same", source="//trace")
    accepted, repeat = named["publications"]
    assert [one["state"] for one in (accepted, repeat)] == ["ACCEPTED", "DUPLICATE"]
    assert (named["state"], named["position"]) == ("ACCEPTED", accepted["position"]), "the one that counted"
    assert "IGNORED" not in {one["passing"] for one in named["projections"]}
    assert f"It was published again at {repeat['position']}: that changed nothing." in named["words"]


def test_a_repeat_says_which_publication_caused_what(api: Api, publisher: Publisher, reader: Reader) -> None:
    first = said(registered(510), "twice")
    publish(publisher, reader, first)
    effect = said(RepositoryRefreshRequested(repository_id=510), "of-twice", first)
    publish(publisher, reader, effect)
    publish(publisher, reader, first)
    accepted, repeat = (str(one["position"]) for one in trace(api, id="twice")["publications"])
    found = trace(api, position=repeat)
    assert (found["state"], found["duplicateOf"]) == ("DUPLICATE", accepted)
    assert any(
        line.startswith(f"1 event was caused by its first publication, {accepted}:")
        for line in found["words"]
    )
    assert [one["causedBy"] for one in found["effects"]] == [accepted]


def test_what_is_owed_for_it_is_said(api: Api, publisher: Publisher, reader: Reader) -> None:
    """No worker runs here, so nobody plans the insight, nor clones the repository."""
    created = InsightCreated(
        insight_id=9_001,
        title="Owed",
        creator="admin",
        series=[SeriesDefinition(series_id=SERIES, label="q", query="q0", unit=TimeUnit.MONTH, value=1)],
        frames=12,
        created_at=NOW,
    )
    publish(publisher, reader, said(created, "owed-insight"))
    publish(publisher, reader, said(registered(506), "owed-repository"))
    insight = trace(api, id="owed-insight")
    (due,) = insight["owed"]
    assert (due["obligation"], due["ofThis"], due["failedAt"]) == ("insight.plan", True, None)
    assert due["agents"] == ["planner.insights"]
    assert any("The plan of insight 9001 is owed by planner.insights" in line for line in insight["words"])
    repository = trace(api, id="owed-repository")
    assert "repository.clone" in {one["obligation"] for one in repository["owed"]}


def test_who_is_no_site_admin_sees_the_verdict_and_no_more(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    publish(publisher, reader, said(registered(507), "guarded"))
    with ExitStack() as resources:
        operating, log = Operating(settings), LoggedEvents(settings)
        resources.callback(operating.close)
        resources.callback(log.close)
        context = make_context(settings, reader, publisher, log, operating, OperationLimits())
        guest = User(name="guest", site_admin=False, means=Means.TOKEN)
        answer = asyncio.run(context.execute_graphql(TRACE, {"id": "guarded"}, user=guest))
    assert answer.errors == []
    assert answer.data is not None
    found: Any = answer.data["event"]
    assert (found["found"], found["statusOnly"], found["state"]) == (True, True, "ACCEPTED")
    assert found["record"] is None
    assert found["projections"] == found["groups"] == found["effects"] == found["owed"] == []


def test_the_command_needs_no_api_and_says_the_same(api: Api, publisher: Publisher, reader: Reader) -> None:
    root = said(registered(508), "told")
    (position, *_) = publish(
        publisher, reader, root, said(RepositoryRefreshRequested(repository_id=508), "told-2", root)
    )
    by_id, by_position = run("event", "told").stdout, run("event", str(position)).stdout
    assert by_id == by_position
    assert "It was accepted, as version 1 of its aggregate." in by_id
    assert "told-2" in by_id
    found = msgspec.json.decode(run("event", "told", "--json").stdout)
    assert (found["position"], found["verdict"]["state"]) == (str(position), "ACCEPTED")
    assert found["effects"][0]["causedBy"] == str(position)
    assert "key: 508" in run("event", "told", "--payload").stdout
