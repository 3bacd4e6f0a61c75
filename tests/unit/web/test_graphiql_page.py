"""The explorer's page: our own files, a policy without inline code, the example, and what a link brings."""

import re
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from starlette.testclient import TestClient

from tests.unit.web.fixture import FixtureContext


def test_style_elements_need_the_nonce_of_this_answer_and_scripts_may_not_be_inline(
    client: TestClient,
) -> None:
    one, other = client.get("/graphiql"), client.get("/graphiql")
    nonces = []
    for answer in (one, other):
        policy = answer.headers["content-security-policy"]
        found = re.search(r"style-src 'self' 'nonce-([\w-]+)'", policy)
        assert found is not None
        assert f'<meta name="style-nonce" content="{found.group(1)}">' in answer.text
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        nonces.append(found.group(1))
    assert nonces[0] != nonces[1]


def test_every_file_that_the_page_names_is_ours_and_there(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', client.get("/graphiql").text)
    assert len(named) >= 7
    static = files("api.web") / "static"
    assert [name for name in named if not (static / name).is_file()] == []


def test_the_licences_stand_beside_the_bundle() -> None:
    folder = files("api.web") / "static" / "vendor" / "graphiql-3.9.0"
    for name in ("LICENSE.txt", "LICENSE-react.txt", "LICENSES-bundled.txt"):
        assert "opyright" in (folder / name).read_text(encoding="utf-8")


def test_view_as_graphql_leads_into_the_explorer(client: TestClient, context: FixtureContext) -> None:
    page = client.get("/insights/1").text
    found = re.search(r'href="(/graphiql\?[^"]+)"', page)
    assert found is not None
    given = parse_qs(urlsplit(found.group(1).replace("&amp;", "&")).query)
    assert given["query"][0].startswith("query Insight($id: ID!)")
    assert '"id"' in given["variables"][0]
