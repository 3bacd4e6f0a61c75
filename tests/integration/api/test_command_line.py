"""Commands that change things, through the API over real Kafka and PostgreSQL."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from api.cli.main import cli
from tests.integration.api.conftest import Api
from tests.integration.api.questions import ADD, create
from tests.integration.api.serving import first_answer_lost, served


@pytest.fixture(scope="module")
def url(api: Api) -> Iterator[str]:
    """The API's address."""
    with served(api) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(autouse=True)
def home(api: Api, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands reach this installation."""
    monkeypatch.setenv("MILLSTREAM_HOME", str(api.settings.home))
    monkeypatch.setenv("MILLSTREAM_URL", url)


def run(*arguments: str, typed: str | None = None, expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, arguments, input=typed)
    assert done.exit_code == expect, done.output
    return done


def titles(api: Api, find: str) -> list[str]:
    found = api.ask(
        "query F($find: String) { insightViews(find: $find) { nodes { title } } }", {"find": find}
    )
    return [one["title"] for one in found["insightViews"]["nodes"]]


def test_the_command_line_asks_again_by_itself_and_makes_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(api) as address, first_answer_lost(address) as (cut, lost):
        monkeypatch.setenv("MILLSTREAM_URL", cut)
        run("insight", "create", "--title", "Cut off", "--query", "q")
    assert lost, "the fault fired"
    assert b"200 OK" in lost[0]
    found = api.ask('{ insightViews(find: "Cut off") { nodes { id } } }')["insightViews"]["nodes"]
    assert len(found) == 1


def test_an_insight_is_deleted_when_it_is_meant(api: Api) -> None:
    create(api, "Not any more", "q1")
    refused = run("insight", "delete", "Not any more", typed="n\n", expect=1)
    assert "error: nothing was deleted" in refused.stderr
    assert "--yes" in refused.stderr
    assert "nothing was deleted" in run("insight", "delete", "Not any more", typed="", expect=1).stderr
    assert titles(api, "Not any more") == ["Not any more"]
    assert "is deleted" in run("insight", "delete", "Not any more", typed="y\n").stdout
    assert titles(api, "Not any more") == []
    gone = run("insight", "delete", "Not any more", "--yes", expect=1)
    assert "error: there is no insight" in gone.stderr
    number = create(api, "By number", "q2")["view"]["id"]
    assert "is deleted" in run("insight", "delete", number, "--yes").stdout
    assert "there is no insight" in run("insight", "show", number, expect=1).stderr


def test_what_may_surprise_is_told_before_the_answer(api: Api) -> None:
    done = run("insight", "create", "--title", "Told", "--query", "nosuch:field", "--query", "foo AND")
    assert "Note: 'nosuch:field': nosuch: is no field and is searched for as text" in done.stderr
    assert "Note: 'foo AND': AND is searched for as text" in done.stderr
    quoted = run("insight", "create", "--title", "C", "--captures", "--query", r'"v=(\d+)"', expect=1)
    assert "what stands in quotes is plain text, so its brackets are no group" in quoted.stderr


def test_a_repository_is_updated_renamed_and_removed(api: Api) -> None:
    name = "git.example.com/cli/app"
    api.ask(ADD, {"input": {"name": name, "cloneUrl": f"https://{name}.git"}})
    assert "archived" in run("repo", "update", name, "--archived").stdout
    assert "archived" not in run("repo", "update", name, "--no-archived").stdout
    assert "error: nothing is to be changed" in run("repo", "update", name, expect=2).stderr
    new = "git.example.com/cli/renamed"
    assert f"{new}: " in run("repo", "rename", name, new).stdout
    assert "is followed" in run("repo", "rename", name, new, expect=1).stderr
    assert "nothing was removed" in run("repo", "remove", new, typed="n\n", expect=1).stderr
    assert f"{new}: removed" in run("repo", "remove", new, "--yes").stdout
    assert api.ask("query R($n: String!) { repository(name: $n) { id } }", {"n": new})["repository"] is None
    assert "is followed" in run("repo", "remove", new, "--yes", expect=1).stderr
