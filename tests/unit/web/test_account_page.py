"""Who is logged in, what they are offered, their own tokens, and the way out."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.user import Means, User
from api.web import routes
from tests.unit.web.fixture import FixtureContext

_ME: dict[str, object] = {
    "id": "u-alice",
    "username": "alice",
    "displayName": "Alice <b>",
    "siteAdmin": False,
    "createdAt": "2026-11-29T12:00:00Z",
    "emails": [{"email": "a@example.com"}],
    "accessTokens": {
        "totalCount": 1,
        "nodes": [
            {"id": "t-1", "note": "ci", "scopes": ["read"], "createdAt": "2026-11-29T12:00:00Z", "expiresAt": None}
        ],
    },
}  # fmt: skip


class _As:
    """Stands for the guard."""

    def __init__(self, app: ASGIApp, user: User) -> None:
        self._app, self._user = app, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["millstream.user"] = self._user
        scope["millstream.csrf"] = "the-csrf-token"
        await self._app(scope, receive, send)


def _client(context: FixtureContext, *, site_admin: bool = False, means: Means = Means.SESSION) -> TestClient:
    user = User(name="alice", site_admin=site_admin, means=means)
    app = Starlette(routes=routes(context), middleware=[Middleware(_As, user=user)])
    return TestClient(app, follow_redirects=False)


def test_every_page_says_who_is_logged_in_and_how_to_log_out(context: FixtureContext) -> None:
    page = _client(context).get("/insights").text
    assert "Logged in as </span>alice</summary>" in page
    form = page[page.index('action="/logout"') :]
    assert form.index('value="the-csrf-token"') < form.index("Log out")
    missing = _client(context).get("/insights/99").text
    assert "alice</summary>" in missing, "a refusal too"


def test_who_came_by_a_proxy_or_a_token_has_no_session_to_end(context: FixtureContext) -> None:
    page = _client(context, means=Means.PROXY).get("/insights").text
    assert "named by the proxy" in page
    assert "/logout" not in page
    assert "/logout" not in _client(context, means=Means.TOKEN).get("/insights").text


def test_what_only_site_admins_may_is_offered_to_them_alone(context: FixtureContext) -> None:
    admin, alice = _client(context, site_admin=True), _client(context)
    assert 'href="/operations"' in admin.get("/insights").text
    assert 'href="/operations"' not in alice.get("/insights").text
    assert 'id="location"' in admin.get("/repositories").text
    page = alice.get("/repositories").text
    assert 'id="location"' not in page
    assert "A site admin adds repositories" in page


def test_the_account_lists_the_own_tokens_makes_one_and_shows_it_once(context: FixtureContext) -> None:
    context.answers["Account"] = lambda _: {"currentUser": _ME}
    context.answers["CreateToken"] = lambda _: {"createAccessToken": {"id": "t-2", "token": "mst_secret"}}
    context.answers["DeleteToken"] = lambda _: {"deleteAccessToken": {"alwaysNil": None}}
    client = _client(context)
    page = client.get("/account").text
    for text in ("Alice &lt;b&gt;", "a@example.com", "ci", 'value="write"', "never"):
        assert text in page
    assert 'value="admin"' not in page, "a scope that the account does not have"
    made = client.post("/account/tokens", data={"note": "laptop", "scope": ["read"]})
    assert "mst_secret" in made.text
    assert made.headers["cache-control"] == "no-store"
    assert context.asked[-2] == ("CreateToken", {"id": "u-alice", "scopes": ["read"], "note": "laptop"})
    assert client.post("/account/tokens/revoke", data={"id": "t-1"}).status_code == 303
    assert context.asked[-1] == ("DeleteToken", {"id": "t-1"})
