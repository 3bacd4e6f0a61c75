"""The page of repositories: states, and what its form adds or refuses."""

import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.web.clients import client_of
from tests.unit.web.fixture import FixtureContext, repository


def test_repositories_say_their_state_and_why(client: TestClient) -> None:
    page = client.get("/repositories").text
    for text in ("ready", "waiting", "failed", "no git repository", "3f2a91c8d0"):
        assert text in page
    assert "data-poll" in page
    assert 'name="csrf_token" value="the-csrf-token"' in page


@pytest.mark.parametrize(
    ("location", "field"),
    [
        ("code/x", "path"),
        ("https://git.example.com/x.git", "cloneUrl"),
        ("git@git.example.com:x/y.git", "cloneUrl"),
    ],
)
def test_a_repository_is_added_by_folder_or_address(
    client: TestClient, context: FixtureContext, location: str, field: str
) -> None:
    answer = client.post("/repositories", data={"location": location})
    assert answer.status_code == 303
    assert context.asked[-1] == ("AddRepository", {"input": {field: location}})


def test_a_refused_repository_is_shown_with_the_reason(context: FixtureContext) -> None:
    context.errors["AddRepository"] = [
        {"message": "no folder", "extensions": {"code": "INVALID_INPUT", "remedy": "Look."}}
    ]
    with client_of(context) as client:
        answer = client.post("/repositories", data={"location": "nowhere"})
    assert answer.status_code == 422
    assert "no folder Look." in answer.text
    assert 'value="nowhere"' in answer.text


def test_a_repository_is_failed_with_a_short_reason_or_empty(context: FixtureContext) -> None:
    context.repositories.append(repository("bare", cloned=True) | {"defaultBranch": None})
    with client_of(context) as client:
        page = client.get("/repositories").text
    assert '<span class="reason">no git repository</span>' in page
    assert '<span class="detail">/srv/old holds no git repository</span>' in page
    assert '<span class="state empty">empty</span>' in page
    assert page.count('<span class="state ready">') == 1


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_a_folder_without_a_repository_is_refused_before_it_is_registered(
    client: TestClient, context: FixtureContext, tmp_path: Path
) -> None:
    for location, words in ((tmp_path, "is no git repository"), (tmp_path / "nowhere", "does not exist")):
        answer = client.post("/repositories", data={"location": str(location)})
        assert answer.status_code == 422
        assert f"{location} {words}" in answer.text
    assert "AddRepository" not in [name for name, _ in context.asked]


def test_an_empty_repository_is_added_with_a_note(
    client: TestClient, context: FixtureContext, tmp_path: Path
) -> None:
    _git("init", "-q", str(tmp_path))
    answer = client.post("/repositories", data={"location": str(tmp_path)})
    assert answer.status_code == 200
    assert "has no commit on its branch yet; to mend it: commit something first" in answer.text
    assert ("AddRepository", {"input": {"path": str(tmp_path.resolve())}}) in context.asked


def test_a_repository_of_this_machine_is_added_by_its_folder(
    client: TestClient, context: FixtureContext, tmp_path: Path
) -> None:
    _git("init", "-q", str(tmp_path))
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    _git("-C", str(tmp_path), *who, "commit", "-q", "--allow-empty", "-m", "first")
    answer = client.post("/repositories", data={"location": str(tmp_path)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/repositories")
    assert context.asked[-1] == ("AddRepository", {"input": {"path": str(tmp_path.resolve())}})


def test_an_address_is_added_without_looking(client: TestClient, context: FixtureContext) -> None:
    url = "https://git.example.com/shop/billing.git"
    answer = client.post("/repositories", data={"location": url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/repositories")
    assert context.asked[-1] == ("AddRepository", {"input": {"cloneUrl": url}})
