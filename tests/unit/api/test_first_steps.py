"""What a newcomer meets first: refusals and hints of commands, without a server."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.insight_questions import suggestion, unknown
from api.cli.main import cli
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
