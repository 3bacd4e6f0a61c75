"""The whole application over HTTP: content types, compression, limits, login, health, metrics, pages."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.auth.login_links import make_login_link
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from projections.judged import ACCEPTED, REJECTED, verdict
from projections.reading import Reader
from schemas.ids import repository_id
from schemas.topics import Topic
from tests.integration.api.conftest import BASE, Api
from tests.support.environ import program_environ
from tests.support.spawning import millstream_text

SITE = {"query": "{ site { productVersion } }"}
NEW_TYPE = "application/graphql-response+json"


@pytest.mark.parametrize("path", ["/.api/graphql", "/graphql"])
def test_both_addresses_answer_and_a_get_points_the_way(api: Api, path: str) -> None:
    headers = {"authorization": f"Bearer {api.token}"}
    answer = api.http.post(path, json=SITE, headers=headers)
    assert answer.json()["data"]["site"]["productVersion"]
    assert "POST" in api.http.get(path, headers=headers).json()["message"]
    assert api.http.post(path, json=SITE).status_code == 401
    assert api.http.get(path).status_code == 401


def test_a_compressed_body_is_read(api: Api) -> None:
    headers = {
        "authorization": f"token {api.token}",
        "content-encoding": "gzip",
        "content-type": "application/json; charset=utf-8",
    }
    answer = api.http.post("/.api/graphql", content=gzip.compress(json.dumps(SITE).encode()), headers=headers)
    assert answer.status_code == 200


def test_the_answer_has_the_type_that_was_asked_for(api: Api) -> None:
    assert api.post(SITE["query"]).headers["content-type"] == "application/json"
    assert api.post(SITE["query"], headers={"accept": NEW_TYPE}).headers["content-type"] == NEW_TYPE


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "BODY_MALFORMED"),
        (b"[]", "application/json", 400, "BODY_MALFORMED"),
        (b"{}", "application/json", 400, "BODY_MALFORMED"),
        (b'{"query": "{ site { id } }", "variables": []}', "application/json", 400, "BODY_MALFORMED"),
        (b"query=x", "application/x-www-form-urlencoded", 415, "MEDIA_TYPE_UNSUPPORTED"),
        (b"x" * 2_000_000, "application/json", 413, "BODY_TOO_LARGE"),
        (b'{"query": "{ site {"}', "application/json", 400, "GRAPHQL_PARSE_FAILED"),
        (b'{"query": "{ nothing }"}', "application/json", 400, "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "query A { site { id } } query B { site { id } }"}', "application/json", 400, "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "query($n: Int!) { insightViews(first: $n) { totalCount } }"}', "application/json", 400, "GRAPHQL_VALIDATION_FAILED"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_with_a_code(
    api: Api, content: bytes, media_type: str, status: int, code: str
) -> None:
    headers = {"authorization": f"token {api.token}", "content-type": media_type}
    answer = api.http.post("/graphql", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["extensions"]["code"] == code


def test_an_operation_that_costs_too_much_is_refused_before_it_runs(api: Api) -> None:
    lines = " ".join(f"a{n}: dataSeries {{ perRepository {{ points {{ value }} }} }}" for n in range(20))
    answer = api.post(f"{{ insightViews {{ nodes {{ {lines} }} }} }}")
    assert answer.status_code == 400
    extensions = answer.json()["errors"][0]["extensions"]
    assert (extensions["code"], extensions["limit"]) == ("LIMIT_EXCEEDED", "cost")


def test_a_bad_idempotency_key_is_refused(api: Api) -> None:
    answer = api.post(SITE["query"], headers={"idempotency-key": "k" * 300})
    assert answer.status_code == 400


def test_a_login_link_opens_the_pages_once(api: Api) -> None:
    link = make_login_link(api.settings.home, BASE)
    # Not in "with": the application's resources belong to the fixture.
    browser = TestClient(api.app, base_url=BASE, headers={"accept": "text/html"})
    assert browser.get("/insights").status_code == 401
    assert browser.head(link).status_code == 200
    welcome = browser.get(link)
    assert welcome.status_code == 200
    assert "HttpOnly" in welcome.headers["set-cookie"]
    assert browser.get("/insights").status_code == 200
    moved = browser.get("/events", follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (303, "/events/"), "a person wants the page"
    assert browser.post("/graphql", json=SITE).status_code == 403
    assert browser.get("/no/such/page").status_code == 404
    another = TestClient(api.app, base_url=BASE, headers={"accept": "text/html"})
    assert another.get(link).status_code == 401
    assert another.get("/insights").status_code == 401


def test_health_readiness_and_metrics(api: Api) -> None:
    assert api.http.get("/healthz").text == "ok\n"
    ready = api.http.get("/readyz").json()
    assert ready["ready"] is True
    assert set(ready["parts"]) == {"kafka", "postgres", "projections"}
    assert api.http.get("/metrics").status_code == 401
    metrics = api.http.get("/metrics", headers={"authorization": f"token {api.token}"})
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'millstream_http_requests_total{route="/healthz",status="200"}' in metrics.text
    assert 'route="none"' in metrics.text
    assert "/no/such/page" not in metrics.text


def test_published_events_are_judged_by_line(api: Api, folder: Path) -> None:
    good = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "//git.example.com/hooks",
        "type": "millstream.repository.registered",
        "time": "2026-11-22T12:00:00Z",
        "data": {
            "repository_id": repository_id("git.example.com/published"),
            "name": "git.example.com/published",
            "clone_url": "https://git.example.com/published.git",
        },
    }
    file = folder / "events.ndjson"
    file.write_text(
        "\n".join(
            [json.dumps(good), "{broken", json.dumps({**good, "id": "e-2", "data": {"repository_id": -1}})]
        )
    )
    done = run(api, "publish", str(file), "--wait", "--json")
    assert done.returncode == 1, done.stderr
    first, second, third = json.loads(done.stdout)
    assert (first["line"], first["state"], first["problems"]) == (1, "ACCEPTED", [])
    assert (second["line"], second["state"], second["position"]) == (2, "REFUSED", None)
    assert third["state"] == "REFUSED"
    assert {problem["path"] for problem in third["problems"]} >= {"$.data.repository_id", "$.data.name"}
    found = api.ask('{ repository(name: "git.example.com/published") { name position } }')["repository"]
    assert found["position"] == first["position"]


def test_publish_waits_for_the_verdict_and_its_exit_code_says_it(api: Api, folder: Path) -> None:
    name = "git.example.com/judged"
    event = {
        "specversion": "1.0",
        "id": "judged-1",
        "source": "//git.example.com/judged",
        "type": "millstream.repository.registered",
        "time": "2026-11-22T12:00:00Z",
        "data": {"repository_id": repository_id(name), "name": name, "path": "/srv/judged"},
    }
    file = folder / "judged.json"
    file.write_text(json.dumps(event))
    first = run(api, "publish", str(file), "--wait")
    assert (first.returncode, first.stdout.split(" millstream.")[0]) == (0, "line 1: ACCEPTED v1"), (
        first.stderr
    )
    again = run(api, "publish", str(file), "--wait", "--json")
    (shown,) = json.loads(again.stdout)
    assert (again.returncode, shown["state"]) == (0, "DUPLICATE")
    assert shown["of"] == first.stdout.split()[4]
    late = folder / "late.json"
    late.write_text(json.dumps({**event, "id": "judged-2"}))
    refused = run(api, "publish", str(late), "--wait", "--expected-version", "0")
    assert refused.returncode == 1
    assert "line 1: REJECTED" in refused.stdout
    assert "version 1" in refused.stdout
    both = folder / "both.ndjson"
    both.write_text(f"{json.dumps(event)}\n{json.dumps(event)}\n")
    assert run(api, "publish", str(both), "--expected-version", "1").returncode == 2
    # Nobody waits for a moment that short.
    hasty = run(api, "publish", str(file), "--wait", "--timeout", "0", "--json")
    (shown,) = json.loads(hasty.stdout)
    assert (hasty.returncode, shown["state"]) in ((3, "PENDING"), (0, "DUPLICATE"))


def test_a_dead_letter_is_rejected_with_its_reason(api: Api, publisher: Publisher) -> None:
    bad = publisher.publish_raw(Topic.REPOSITORIES, b"1", b"{}", (("ce_specversion", b"1.0"),))
    engine = make_engine(api.settings, Role.WORKER, pool_size=2)
    reader = Reader(engine)
    try:
        assert reader.wait_for("repositories", [bad], 30)
        with engine.connect() as connection:
            found = verdict(connection, bad)
            assert found.state == REJECTED
            assert "is missing" in found.reason
            good = api.ask('mutation { addRepository(input: { path: "/srv/good" }) { position } }')[
                "addRepository"
            ]["position"]
    finally:
        reader.close()
    with engine.connect() as connection:
        assert verdict(connection, type(bad).parse(good)).state == ACCEPTED
    engine.dispose()


def run(api: Api, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One ``millstream`` command in this installation."""
    return millstream_text(*arguments, environ=program_environ(api.settings))
