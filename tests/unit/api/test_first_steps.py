"""What a newcomer meets first: refusals and hints of commands, without a server."""

import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api.cli.insight_command import _color
from api.cli.insight_questions import suggestion, unknown
from api.cli.main import cli
from api.cli.output import plain_lines
from api.cli.query_hints import blanks_note
from infra.embedded.home import open_home
from infra.embedded.services import services_lock


def test_login_is_refused_while_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path))
        monkeypatch.setenv("MILLSTREAM_URL", url)
        done = CliRunner().invoke(cli, ["login"])
    assert done.exit_code == 1
    assert f"error: the API at {url} does not answer" in done.stderr
    assert "millstream up" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "login").exists(), "no link was made"


def test_a_second_up_says_so_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(tmp_path / "home")
    monkeypatch.setenv("MILLSTREAM_HOME", str(home.folder))
    with services_lock(home):
        done = CliRunner().invoke(cli, ["up"])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0] == f"error: Millstream runs already in {home.folder}"
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("content", ["", " \n\n", "[]"])
def test_an_input_without_events_is_an_error(content: str) -> None:
    done = CliRunner().invoke(cli, ["publish", "-"], input=content)
    assert done.exit_code == 1
    assert "error: no events in the input" in done.stderr


@pytest.mark.parametrize(
    ("text", "titles", "meant"),
    [
        ("gateway", ["gateway replaces legacy_client", "Old API"], "gateway replaces legacy_client"),
        ("Gateway", ["the old gateway", "gateway replaces"], "gateway replaces"),
        ("api", ["Old API", "Other"], "Old API"),
        ("api", ["Old API", "New API"], ""),
        ("nothing", ["Old API"], ""),
        (" ", ["Old API"], ""),
    ],
)
def test_the_only_title_that_fits_is_suggested(text: str, titles: list[str], meant: str) -> None:
    assert suggestion(text, titles) == meant


def test_a_suggestion_is_a_command_to_paste() -> None:
    error = unknown("api", "Old 'API'")
    assert "did you mean" in str(error)
    assert error.remedy == "millstream insight show 'Old '\"'\"'API'\"'\"''"
    assert unknown("api").remedy == "millstream insight list"


@pytest.mark.parametrize(
    ("text", "value"),
    [("blue", "#0b6fae"), ("#ABC", "#abc"), ("#c8501e", "#c8501e"), ("var(--oc-red-7)", "var(--oc-red-7)")],
)
def test_colours(text: str, value: str) -> None:
    assert _color(text) == value


@pytest.mark.parametrize("text", ["", "bleu", "#12", "url(x)", "var(--x)"])
def test_what_is_no_colour_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"Blue, Vermilion, .*#rrggbb"):
        _color(text)


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("def ", 'content:"def "'),
        (" def", 'content:" def"'),
        ("repo:x def ", 'for example content:"def "'),
        ('"a" ', 'for example content:"def "'),
    ],
)
def test_blanks_at_the_ends_are_told(query: str, form: str) -> None:
    assert blanks_note(query) == f"Note: blanks at the ends are not part of the query; quote it: {form}"


@pytest.mark.parametrize("query", ["def", "a b", "", "  ", 'content:"def "'])
def test_other_queries_have_no_note(query: str) -> None:
    assert blanks_note(query) == ""


@pytest.mark.parametrize(
    ("typed", "told", "remedy"),
    [
        (["insigt"], "no such command 'insigt': did you mean insight?", "millstream --help"),
        (["insight", "lst"], "no such command 'lst': did you mean list?", "millstream insight --help"),
        (["insight", "create"], "missing option '--title'", "millstream insight create --help"),
        (["insight", "list", "--nope"], "no such option: --nope", "millstream insight list --help"),
        (["publish", "/none"], "'/none': No such file or directory", "millstream publish --help"),
    ],
)
def test_what_was_typed_wrong_is_told_as_every_error_is(typed: list[str], told: str, remedy: str) -> None:
    done = CliRunner().invoke(cli, typed, prog_name="millstream")
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert told in first
    assert second == f"what to do: {remedy}"


def test_help_and_version_still_end_well() -> None:
    assert "Commands" in CliRunner().invoke(cli, ["--help"]).stdout
    assert CliRunner().invoke(cli, ["--version"]).exit_code == 0


def test_in_a_pipe_every_row_is_one_line_however_wide() -> None:
    rows = [("NUMBER", "TITLE"), ("1", "t" * 300), ("22", "日本")]
    assert plain_lines(rows) == ["NUMBER  TITLE", "1       " + "t" * 300, "22      日本"]
    assert plain_lines([("A",), ("two\nlines",)]) == ["A", "two lines"]
