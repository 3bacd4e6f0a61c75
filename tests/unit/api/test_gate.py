"""The gate in front of every endpoint: Host, token or session, bodies, and what a write must show."""

import gzip
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from api.auth.guard import GatePolicy, Guard, WriteCheck, csrf_token, current_user
from api.auth.sessions import Sessions
from api.http.bodies import Bodies, BodyPolicy
from api.http.headers import SecurityHeaders

TOKEN = "the-token"
LIMIT = 1_000
SESSIONS = Sessions("key")
WITH_TOKEN = {"authorization": f"token {TOKEN}"}


async def echo(request: Request) -> Response:
    user = current_user(request)
    body = await request.body()
    return JSONResponse(
        {"user": user.name if user else None, "csrf": csrf_token(request), "body": body.decode("latin-1")},
        headers={"x-encoding": request.headers.get("content-encoding", "none")},
    )


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = Starlette(
        routes=[Route(path, echo, methods=["GET", "POST"]) for path in ("/page", "/healthz", "/login")],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(
                Guard,
                token=TOKEN,
                sessions=SESSIONS,
                policy=GatePolicy(hosts=frozenset({"millstream.example"})),
            ),
            Middleware(Bodies, policy=BodyPolicy(size_bytes=LIMIT)),
            Middleware(WriteCheck),
        ],
    )
    with TestClient(app, base_url="http://127.0.0.1:7080") as client:
        yield client


@pytest.fixture
def browser() -> dict[str, str]:
    """Headers of a browser with a session."""
    _, cookie = SESSIONS.begin(secure=False)
    return {"cookie": cookie.partition(";")[0], "accept": "text/html"}


def code_of(response: object) -> str:
    found = response.json()["errors"][0]["extensions"]["code"]  # type: ignore[attr-defined]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("path", ["/page", "/nothing", "/metrics", "/graphql", "/static", "/healthzz"])
def test_nobody_gets_in_without_token_or_session(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert code_of(answer) == "UNAUTHENTICATED"


@pytest.mark.parametrize("path", ["/healthz", "/login"])
def test_some_pages_are_for_everybody(client: TestClient, path: str) -> None:
    assert client.get(path).json()["user"] is None


@pytest.mark.parametrize("header", [f"token {TOKEN}", f"Bearer {TOKEN}"])
def test_a_program_shows_its_token(client: TestClient, header: str) -> None:
    assert client.get("/page", headers={"authorization": header}).json()["user"] == "admin"


def test_a_wrong_token_is_refused_even_beside_a_good_cookie(
    client: TestClient, browser: dict[str, str]
) -> None:
    assert client.get("/page", headers=browser | {"authorization": "token wrong"}).status_code == 401
    assert client.get("/page", headers=browser).status_code == 200


def test_a_wrong_token_and_a_missing_one_are_told_apart_and_nothing_leaks(client: TestClient) -> None:
    def message(headers: dict[str, str]) -> str:
        answer = client.get("/page", headers=headers)
        assert answer.status_code == 401
        assert TOKEN not in answer.text
        assert "wrong-one" not in answer.text
        return str(answer.json()["errors"][0]["message"])

    missing, wrong = message({}), message({"authorization": "token wrong-one"})
    assert "Nobody is logged in" in missing
    assert "is not this server's" in wrong
    assert message({"authorization": f"Basic {TOKEN}"}) == wrong
    assert all("millstream login" in text for text in (missing, wrong))


def test_people_see_a_page_programs_json(client: TestClient) -> None:
    page = client.get("/page", headers={"accept": "text/html"})
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert "millstream login" in page.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7080", "localhost", "LOCALHOST:1", "[::1]:80", "millstream.example:443"]
)
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/page", headers=WITH_TOKEN | {"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:7080", "", "[bad"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/page", headers=WITH_TOKEN | {"host": host})
    assert answer.status_code == 421
    assert code_of(answer) == "HOST_REFUSED"


def test_probes_may_use_any_name(client: TestClient) -> None:
    assert client.get("/healthz", headers={"host": "10.1.2.3"}).status_code == 200


def test_a_write_with_a_token_needs_nothing_more(client: TestClient) -> None:
    headers = WITH_TOKEN | {"origin": "http://elsewhere.test"}
    assert client.post("/page", headers=headers, content=b"x").json()["body"] == "x"


def test_a_write_by_cookie_needs_the_csrf_token(client: TestClient, browser: dict[str, str]) -> None:
    programs = {"cookie": browser["cookie"]}
    csrf = client.get("/page", headers=programs).json()["csrf"]
    assert client.post("/page", headers=programs).status_code == 403
    assert client.post("/page", headers=programs | {"x-csrf-token": "wrong"}).status_code == 403
    assert client.post("/page", headers=programs | {"x-csrf-token": csrf}).status_code == 200


def test_a_form_may_hold_the_csrf_token(client: TestClient, browser: dict[str, str]) -> None:
    csrf = client.get("/page", headers=browser).json()["csrf"]
    answer = client.post("/page", headers=browser, data={"csrf_token": csrf, "title": "x"})
    assert answer.status_code == 200
    assert "title=x" in answer.json()["body"]
    assert client.post("/page", headers=browser, data={"csrf_token": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:7080"}, 200),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "http://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_write_by_cookie_must_come_from_our_own_page(
    client: TestClient, browser: dict[str, str], headers: dict[str, str], status: int
) -> None:
    csrf = client.get("/page", headers=browser).json()["csrf"]
    answer = client.post("/page", headers=browser | headers | {"x-csrf-token": csrf})
    assert answer.status_code == status


def test_the_csrf_token_of_another_session_is_refused(client: TestClient, browser: dict[str, str]) -> None:
    other, _ = SESSIONS.begin(secure=False)
    headers = browser | {"x-csrf-token": SESSIONS.csrf_token(other)}
    assert client.post("/page", headers=headers).status_code == 403


def test_gzip_is_inflated_before_anybody_looks(client: TestClient) -> None:
    headers = WITH_TOKEN | {"content-encoding": "gzip"}
    answer = client.post("/page", headers=headers, content=gzip.compress(b"hello"))
    assert answer.json()["body"] == "hello"
    assert answer.headers["x-encoding"] == "none"


def test_a_body_at_the_cap_passes_and_one_byte_more_does_not(client: TestClient) -> None:
    assert client.post("/page", headers=WITH_TOKEN, content=b"x" * LIMIT).status_code == 200
    refused = client.post("/page", headers=WITH_TOKEN, content=b"x" * (LIMIT + 1))
    assert refused.status_code == 413
    assert code_of(refused) == "BODY_TOO_LARGE"


def test_the_cap_holds_without_a_content_length(client: TestClient) -> None:
    refused = client.post("/page", headers=WITH_TOKEN, content=iter([b"x" * 600, b"x" * 600]))
    assert refused.status_code == 413


def test_a_bomb_is_refused_by_what_it_inflates_to(client: TestClient) -> None:
    headers = WITH_TOKEN | {"content-encoding": "gzip"}
    bomb = gzip.compress(b"\0" * 500_000)
    assert len(bomb) < LIMIT
    assert client.post("/page", headers=headers, content=bomb).status_code == 413


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"hello")[:-4], gzip.compress(b"a") + b"tail"],
    ids=["none", "cut short", "more behind it"],  # not the bytes, which hold the time: names are to stay
)
def test_bad_gzip_is_malformed(client: TestClient, content: bytes) -> None:
    answer = client.post("/page", headers=WITH_TOKEN | {"content-encoding": "gzip"}, content=content)
    assert answer.status_code == 400
    assert code_of(answer) == "BODY_MALFORMED"


def test_other_encodings_are_not_read(client: TestClient) -> None:
    answer = client.post("/page", headers=WITH_TOKEN | {"content-encoding": "br"}, content=b"x")
    assert answer.status_code == 415


def test_every_answer_has_the_strict_headers(client: TestClient) -> None:
    for answer in (client.get("/page"), client.get("/page", headers=WITH_TOKEN), client.get("/healthz")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
