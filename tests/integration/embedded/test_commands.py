"""``millstream stack``, ``logs`` and ``psql`` as a person types them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.home import Home
from infra.embedded.stack import read_endpoints
from infra.installation import set_up_database
from infra.settings import load_settings
from tests.stack import StackUnderTest, new_home


def millstream(home: Path, *arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.cli.main", *arguments],
        env={**os.environ, "MILLSTREAM_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture
def empty_home() -> Iterator[Path]:
    folder = new_home()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture(scope="module")
def running(own_stack: StackUnderTest) -> StackUnderTest:
    """A stack of its own, because roles and their passwords are shared by all databases of one; psql logs in as them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLSTREAM_HOME", str(own_stack.home))
        set_up_database(load_settings())
    return own_stack


def test_the_stack_starts_stays_and_stops_by_commands(empty_home: Path) -> None:
    assert millstream(empty_home, "stack", "status").returncode == 3
    assert json.loads(millstream(empty_home, "stack", "status", "--json").stdout) == {
        "home": str(empty_home),
        "running": False,
    }
    started = millstream(empty_home, "stack", "start")
    try:
        assert started.returncode == 0, started.stderr
        endpoints = read_endpoints(empty_home)
        assert endpoints is not None
        assert endpoints.kafka_bootstrap in started.stdout
        status = json.loads(millstream(empty_home, "stack", "status", "--json").stdout)
        assert status["running"]
        assert status["kafka"]["address"] == endpoints.kafka_bootstrap
        assert 50 < status["kafka"]["resident_mb"] < 500
        shown = millstream(empty_home, "stack", "status")
        assert shown.returncode == 0
        assert endpoints.kafka_bootstrap in shown.stdout
        assert "://" not in shown.stdout
        again = millstream(empty_home, "stack", "start")
        assert again.returncode == 0
        assert "already" in again.stderr
    finally:
        stopped = millstream(empty_home, "stack", "stop")
    assert stopped.returncode == 0
    assert not endpoints.alive()
    assert millstream(empty_home, "stack", "stop").returncode == 0


def test_an_error_is_two_lines_the_second_with_the_remedy(empty_home: Path) -> None:
    Home(empty_home).version_file.write_text("{}")
    failed = millstream(empty_home, "stack", "start")
    assert failed.returncode == 1
    error, remedy = failed.stderr.splitlines()
    assert error.startswith("error: the data in")
    assert remedy.startswith("what to do: run the build that made it")


def test_logs_shows_all_or_one_and_names_what_there_is(running: StackUnderTest) -> None:
    everything = millstream(running.home, "logs")
    assert everything.returncode == 0
    assert {line.split(" | ")[0].strip() for line in everything.stdout.splitlines()} >= {"kafka", "postgres"}
    postgres = millstream(running.home, "logs", "postgres", "-n", "1000")
    assert "ready to accept connections" in postgres.stdout
    unknown = millstream(running.home, "logs", "nobody")
    assert unknown.returncode == 1
    assert "kafka, postgres" in unknown.stderr


def test_logs_before_anything_ran(empty_home: Path) -> None:
    nothing = millstream(empty_home, "logs")
    assert nothing.returncode == 1
    assert "millstream up" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "user"), [((), "millstream_app"), (("--role", "admin"), "millstream_admin")]
)
def test_psql_is_the_apps_unless_another_role_is_named(
    running: StackUnderTest, arguments: tuple[str, ...], user: str
) -> None:
    result = millstream(running.home, "psql", *arguments, "-XtAc", "select current_user, 'it''s $HOME'")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{user}|it's $HOME\n"


def test_psql_says_how_it_ended(running: StackUnderTest) -> None:
    assert millstream(running.home, "psql", "-v", "ON_ERROR_STOP=1", "-c", "select 1/0").returncode == 1


def test_psql_without_a_stack_says_what_to_start(empty_home: Path) -> None:
    result = millstream(empty_home, "psql")
    assert result.returncode == 1
    assert "millstream" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("up",), ("stack",), ("stack", "start"), ("stack", "stop"), ("stack", "status"), ("logs",), ("psql",)],
)
def test_every_command_has_help_with_an_example(empty_home: Path, command: tuple[str, ...]) -> None:
    result = millstream(empty_home, *command, "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout
