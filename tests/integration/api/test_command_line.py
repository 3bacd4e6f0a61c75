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


@pytest.mark.parametrize(
    ("arguments", "wrong", "remedy"),
    [
        (
            ("settings", "set", "insights.query.worker.rateLimit", "-5"),
            "has to lie between",
            "settings unset",
        ),
        (
            ("settings", "set", "insights.query.worker.rateLimit", "many"),
            "'many' is no number",
            "settings list",
        ),
        (
            ("settings", "set", "insights.query.worker.rateLimit", "nan"),
            "'nan' is no number",
            "settings unset",
        ),
        (("settings", "set", "no.such.key", "5"), "there is no setting 'no.such.key'", "Name one of"),
        (
            ("insight", "create", "--title", " ", "--query", "q"),
            "a title is required",
            "Give the chart a title",
        ),
        (
            ("insight", "create", "--title", "T", "--query", "q", "--frames", "0"),
            "0 points",
            "from 1 to 1000",
        ),
        (
            ("insight", "create", "--title", "T", "--query", "q", "--repo", "nope/nope"),
            "repositories not found: nope/nope",
            "millstream repo list",
        ),
    ],
)
def test_what_is_wrong_is_said_and_what_to_do(
    api: Api, arguments: tuple[str, ...], wrong: str, remedy: str
) -> None:
    refused = run(*arguments, expect=1)
    assert wrong in refused.stderr
    (todo,) = [line for line in refused.stderr.splitlines() if line.startswith("what to do: ")]
    assert remedy in todo


def test_a_scope_without_a_repository_is_warned_of(api: Api) -> None:
    done = run("insight", "create", "--title", "Nowhere", "--query", "q repo:^nobody/has/this$")
    assert "no repository that is followed is in its scope" in done.stderr
    api.ask(ADD, {"input": {"name": "git.example.com/cli/somewhere", "cloneUrl": "https://x.invalid/a.git"}})
    here = run("insight", "create", "--title", "Somewhere", "--query", "q repo:cli/somewhere")
    assert "in its scope" not in here.stderr


def test_what_has_nothing_to_do_says_so(api: Api) -> None:
    create(api, "Idle", "idle query")
    assert "was not paused: nothing was changed" in run("insight", "resume", "Idle").stdout
    assert "there is nothing to ask for again" in run("insight", "retry", "Idle").stdout
    assert "The past of Idle is paused." in run("insight", "pause", "Idle").stdout
    assert "was paused already" in run("insight", "pause", "Idle").stdout
    assert "The past of Idle goes on." in run("insight", "resume", "Idle").stdout


def test_a_renamed_repository_keeps_its_name_when_its_place_is_added_again(api: Api) -> None:
    url = "https://git.example.com/cli/twice.git"
    first = api.ask(ADD, {"input": {"cloneUrl": url}})["addRepository"]["repository"]
    run("repo", "rename", first["name"], "git.example.com/cli/chosen")
    for given in (
        {"cloneUrl": url},
        {"cloneUrl": url, "name": first["name"], "nameIsDerived": True},
        {"cloneUrl": url, "archived": True},
    ):
        again = api.ask(ADD, {"input": given})["addRepository"]["repository"]
        assert again == {"id": first["id"], "name": "git.example.com/cli/chosen"}
    named = api.ask(ADD, {"input": {"cloneUrl": url, "name": first["name"]}})
    assert named["addRepository"]["repository"]["name"] == first["name"], "somebody chose it"


def test_a_status_with_a_nul_is_an_error_that_says_so(api: Api) -> None:
    asked = "query S($source: String!, $id: String!) { eventStatus(source: $source, id: $id) { state } }"
    for variables in ({"source": "//a", "id": "x\0y"}, {"source": "/\0/a", "id": "x"}):
        error = api.error(asked, variables)
        assert error["extensions"]["code"] == "INVALID_INPUT"
        assert "NUL" in error["message"]
