"""``POST /events`` and ``GET /events`` over real Kafka and PostgreSQL: what is taken, what is refused, what became of it."""

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.tokens import admin_token
from infra.kafka.consumer import LogReader
from infra.kafka.producer import Publisher
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event, Position
from schemas.ids import repository_id
from tests.integration.api.conftest import BASE, Api
from tests.support.projectors import eventually

SOURCE = "//git.example.com/hooks"
STATUS = """
query Status($source: String!, $id: String!, $min: [String!]) {
  eventStatus(source: $source, id: $id, minPosition: $min) {
    state version reason duplicateOf subject type publications { position state version appendedAt }
  }
}
"""


def registered(name: str, **more: object) -> dict[str, object]:
    """A structured event that registers a repository."""
    data = {"repository_id": repository_id(name), "name": name, "clone_url": f"https://{name}.git"}
    return {
        "specversion": "1.0",
        "id": f"register-{name}",
        "source": SOURCE,
        "type": "millstream.repository.registered",
        "time": "2026-11-22T12:00:00Z",
        "data": data,
        **more,
    }


def send(api: Api, event: object, headers: Mapping[str, str] | None = None, *, kind: str = "") -> Any:
    """POST in structured or batch mode."""
    return api.http.post(
        "/events",
        content=event if isinstance(event, bytes) else orjson.dumps(event),
        headers={
            "authorization": f"token {api.token}",
            "content-type": f"application/cloudevents{kind}+json",
            **(headers or {}),
        },
    )


def status(api: Api, event_id: str, *, wait_s: float = 20, source: str = SOURCE) -> Any:
    """GET, once the event is judged."""
    headers = {"authorization": f"token {api.token}"}
    asked = {"source": source, "id": event_id, "wait": str(wait_s)}
    return api.http.get("/events", params=asked, headers=headers)


def logged(settings: Settings, position: str) -> Event:
    """The event at a position."""
    at = Position.parse(position)
    with LogReader(settings) as reader:
        record = reader.read_one(at.topic, at.partition, at.offset)
    assert record is not None
    found = decode(record)
    assert isinstance(found, Event), found
    return found


def test_a_structured_event_is_taken_judged_and_projected(api: Api, settings: Settings) -> None:
    name = "git.example.com/structured"
    answer = send(api, registered(name))
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["id"], body["source"], body["state"]) == (f"register-{name}", SOURCE, "PENDING")
    event = logged(settings, body["position"])
    assert (event.id, event.key) == (body["id"], str(repository_id(name)))

    headers = {"authorization": f"token {api.token}"}
    told = api.http.get(f"{answer.headers['location']}&wait=20", headers=headers).json()
    assert (told["state"], told["version"], told["subject"]) == ("ACCEPTED", 1, str(repository_id(name)))
    found = api.ask(
        "query R($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { position } }",
        {"name": name, "min": [body["position"]]},
    )
    assert found["repository"]["position"] == body["position"]

    (indexed,) = api.ask(STATUS, {"source": SOURCE, "id": body["id"], "min": [body["position"]]})[
        "eventStatus"
    ]["publications"]
    assert (indexed["position"], indexed["state"], indexed["version"]) == (body["position"], "ACCEPTED", 1)
    assert indexed["appendedAt"]


def test_binary_mode_gzip_and_no_time(api: Api, settings: Settings) -> None:
    event = registered("git.example.com/binary")
    headers = {f"ce-{name}": str(event[name]) for name in ("specversion", "id", "source", "type")}
    answer = api.http.post(
        "/events",
        content=gzip.compress(orjson.dumps(event["data"])),
        headers={
            "authorization": f"token {api.token}",
            "content-type": "application/json",
            "content-encoding": "gzip",
            "ce-team": "caf%C3%A9",
            **headers,
        },
    )
    assert answer.status_code == 202, answer.text
    found = logged(settings, answer.json()["position"])
    assert found.extensions == {"team": "café"}
    assert found.time.year >= 2026


def test_a_repeat_is_a_duplicate_and_says_of_what(api: Api) -> None:
    event = registered("git.example.com/twice", id="twice-1")
    first, second = (send(api, event).json()["position"] for _ in range(2))
    assert first != second
    told = eventually_judged(api, "twice-1", 2)
    assert (told["state"], told["of"], told["version"]) == ("DUPLICATE", first, 1)
    assert [(one["position"], one["state"]) for one in told["positions"]] == [
        (first, "ACCEPTED"),
        (second, "DUPLICATE"),
    ]


def test_an_illegal_event_is_taken_and_rejected_with_its_reason(api: Api) -> None:
    unknown = repository_id("git.example.com/never")
    event = registered(
        "x/y", id="illegal-1", type="millstream.repository.removed", data={"repository_id": unknown}
    )
    assert send(api, event).status_code == 202
    told = status(api, "illegal-1").json()
    assert (told["state"], told["version"]) == ("REJECTED", None)
    assert "never registered" in told["reason"]
    assert api.ask(STATUS, {"source": SOURCE, "id": "illegal-1"})["eventStatus"]["reason"] == told["reason"]
    # judged anew once it is legal
    name = "git.example.com/never"
    assert send(api, registered(name)).status_code == 202
    send(api, event)
    told = eventually_judged(api, "illegal-1", 2)
    assert [one["state"] for one in told["positions"]] == ["REJECTED", "ACCEPTED"]
    assert (told["state"], told["version"]) == ("ACCEPTED", 2)


def test_an_expected_version_holds_or_rejects(api: Api) -> None:
    name = "git.example.com/versioned"
    update = {
        "type": "millstream.repository.updated",
        "data": {"repository_id": repository_id(name), "fork": True},
    }
    send(api, registered(name))
    send(api, registered(name, id="v-5", expectedversion=5, **update))
    assert "version" in status(api, "v-5").json()["reason"]
    send(api, registered(name, id="v-1", expectedversion="1", **update))
    assert (status(api, "v-1").json()["state"], status(api, "v-1").json()["version"]) == ("ACCEPTED", 2)


def test_an_open_event_is_accepted_without_a_version(api: Api) -> None:
    name = "git.example.com/open"
    send(api, registered(name))
    event = registered(
        name,
        id="open-1",
        type="millstream.repository.refresh_requested",
        data={"repository_id": repository_id(name)},
    )
    assert send(api, event).status_code == 202
    told = status(api, "open-1").json()
    assert (told["state"], told["version"]) == ("ACCEPTED", None)
    refused = send(api, {**event, "id": "open-2", "expectedversion": 1}).json()
    assert [one["path"] for one in refused["problems"]] == ["$.expectedversion"]


def test_a_batch_is_taken_whole_or_not_at_all(api: Api) -> None:
    names = [f"git.example.com/batch-{number}" for number in range(3)]
    bad = [registered(names[0]), {**registered(names[1]), "data": {"repository_id": "x"}}, 5]
    refused = send(api, bad, kind="-batch")
    assert refused.status_code == 400
    body = refused.json()
    assert body["code"] == "EVENT_REFUSED"
    assert {one["path"] for one in body["problems"]} >= {"$[1].data.repository_id", "$[2]"}
    assert status(api, f"register-{names[0]}", wait_s=0).status_code == 404
    twice = send(api, [registered(names[0]), registered(names[1], id=f"register-{names[0]}")], kind="-batch")
    assert [one["path"] for one in twice.json()["problems"]] == ["$[1].id"]

    taken = send(api, [registered(name) for name in names], kind="-batch")
    assert taken.status_code == 202, taken.text
    assert [one["id"] for one in taken.json()["events"]] == [f"register-{name}" for name in names]
    assert all(status(api, f"register-{name}").json()["state"] == "ACCEPTED" for name in names)


@pytest.mark.parametrize(
    ("event", "headers", "http_status", "code", "path"),
    [
        (registered("a/b", id=None), {}, 400, "EVENT_REFUSED", "$.id"),
        (registered("a/b", type="millstream.nothing"), {}, 400, "EVENT_REFUSED", "$.type"),
        (
            registered("a/b", type="millstream.repository.clone_failed", data={"repository_id": 1, "reason": "r", "message": "m"}),
            {}, 403, "TYPE_INTERNAL", "$.type",
        ),
        (registered("a/b", team="t" * 2000), {}, 400, "EVENT_REFUSED", "$.team"),
        (b"{", {}, 400, "BODY_MALFORMED", "$"),
        (b"[]", {}, 400, "EVENT_REFUSED", "$"),
        (b"x" * 1_100_000, {}, 413, "BODY_TOO_LARGE", None),
        (b"{}", {"content-type": "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED", None),
        (b"{}", {"content-encoding": "br"}, 415, "ENCODING_UNSUPPORTED", None),
        (b"{}", {"content-encoding": "gzip"}, 400, "BODY_MALFORMED", None),
        (b"{}", {"authorization": "token wrong"}, 401, "UNAUTHENTICATED", None),
        (b"{}", {"host": "evil.example.com"}, 421, "HOST_REFUSED", None),
        (registered("a/b"), {"idempotency-key": "k" * 300}, 400, "INVALID_INPUT", None),
    ],
)  # fmt: skip
def test_every_refusal_has_one_form(
    api: Api, event: object, headers: dict[str, str], http_status: int, code: str, path: str | None
) -> None:
    answer = send(api, event, headers)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (http_status, code), body
    assert set(body) == {"code", "message", "remedy", "problems"}
    assert body["message"]
    if path is not None:
        assert path in [one["path"] for one in body["problems"]]
        assert all(one["reason"] for one in body["problems"])


def test_what_is_missing_in_an_event_is_named_and_why(api: Api) -> None:
    problem = send(api, registered("a/b", id="")).json()["problems"][0]
    assert "Idempotency-Key" in problem["reason"]
    assert (
        api.http.put("/events", headers={"authorization": f"token {api.token}"}).json()["code"]
        == "METHOD_NOT_ALLOWED"
    )


def test_nothing_above_the_limit_goes_on_the_log(api: Api) -> None:
    many = {f"x{number}": "y" * 1000 for number in range(900)}
    answer = send(api, registered("git.example.com/large", **many))
    assert (answer.status_code, answer.json()["code"]) == (413, "EVENT_TOO_LARGE"), answer.json()
    assert answer.json()["problems"][0]["path"] == "$"


def test_an_idempotency_key_stands_for_the_id(api: Api) -> None:
    event = {name: value for name, value in registered("git.example.com/keyed").items() if name != "id"}
    headers = {"idempotency-key": "keyed-1"}
    first = send(api, event, headers).json()
    again = send(api, event, headers).json()
    assert first["id"] == again["id"]
    assert eventually_judged(api, first["id"], 2)["of"] == first["position"]
    other = {name: value for name, value in registered("git.example.com/other").items() if name != "id"}
    refused = send(api, other, headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "ID_REUSED")
    named = send(api, registered("git.example.com/keyed", id="own-id"), headers).json()
    assert named["id"] == "own-id"


def test_what_was_never_seen_and_what_is_not_asked_right(api: Api) -> None:
    unknown = status(api, "nobody-said-this", wait_s=0)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NOT_FOUND")
    assert "30 days" in unknown.json()["message"]
    assert api.ask(STATUS, {"source": SOURCE, "id": "nobody-said-this"})["eventStatus"] is None
    headers = {"authorization": f"token {api.token}"}
    for query, path in (
        ("", "source"),
        ("?source=a", "id"),
        ("?source=a&id=b&wait=31", "wait"),
        ("?source=a&id=b&wait=nan", "wait"),
        ("?source=a&id=b%00", "id"),
        ("?source=%00&id=b", "source"),
    ):
        refused = api.http.get(f"/events{query}", headers=headers)
        assert refused.status_code == 400
        assert path in [one["path"] for one in refused.json()["problems"]]
    assert api.http.get("/events?source=a&id=b").status_code == 401


def test_a_browser_s_session_needs_its_csrf_token(api: Api) -> None:
    from api.auth.login_links import make_login_link

    with TestClient(api.app, base_url=BASE) as browser:
        browser.get(make_login_link(api.settings.home, BASE).removeprefix(BASE))
        answer = browser.post(
            "/events", json=registered("a/b"), headers={"content-type": "application/cloudevents+json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "FORGED_WRITE")


def test_without_projections_events_are_still_taken(settings: Settings, publisher: Publisher) -> None:
    """The log is the truth: publishing needs Kafka alone."""
    from pydantic import SecretStr

    nowhere = settings.model_copy(
        update={
            "database_url": SecretStr("postgresql://nobody:x@127.0.0.1:9/none"),
            "database_connect_timeout_s": 1,
        }
    )
    app = create_app(nowhere)
    with TestClient(app, base_url=BASE) as http:
        alone = Api(app, http, admin_token(settings.home), nowhere)
        taken = send(alone, registered("git.example.com/alone"))
        assert taken.status_code == 202, taken.text
        assert status(alone, "x", wait_s=0).json()["code"] == "UNAVAILABLE"


def eventually_judged(api: Api, event_id: str, times: int, *, source: str = SOURCE) -> Any:
    """The status once it was published ``times`` times and the last one is judged."""

    def found() -> Any:
        body = status(api, event_id, source=source).json()
        known = body.get("positions", [])
        return body if len(known) == times and body["state"] != "PENDING" else None

    assert eventually(lambda: found() is not None), status(api, event_id, source=source).text
    return found()
