"""The page of a commit graph, over canned answers."""

from starlette.testclient import TestClient

from tests.unit.web.fixture import REPOSITORIES, SHA

PAGE = f"/{REPOSITORIES[0]}/-/code-intelligence/graph"


def test_the_tip_is_shown_where_no_commit_is_asked_for(client: TestClient) -> None:
    page = client.get(PAGE).text
    assert "stale" in page
    assert "commits of the newest push are not told of yet" in page
    assert "22 Nov 2026, 12:00:00" in page
    assert f'value="{SHA}"' in page
    assert "scip-go" in page


def test_a_commit_that_nothing_answers_at_and_what_is_no_commit(client: TestClient) -> None:
    assert "No upload answers at" in client.get(PAGE, params={"commit": "c" * 40}).text
    refused = client.get(PAGE, params={"commit": "main"})
    assert refused.status_code == 422
    assert "Give the full id of a commit" in refused.text


def test_an_unknown_repository_has_no_graph(client: TestClient) -> None:
    assert client.get("/git.example.com/none/-/code-intelligence/graph").status_code == 404
