"""The click group: quick, whole, and with errors that people can act on."""

import importlib
import importlib.util
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from api.cli import main
from schemas.errors import MillstreamError

HEAVY = (
    "faust",
    "aiokafka",
    "confluent_kafka",
    "kafka",
    "sqlalchemy",
    "psycopg",
    "ariadne",
    "graphql",
    "uvicorn",
    "rich",
    "httpx",
    "re2",
)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom api.cli.main import cli\n"
        "try:\n    cli.main(['--help'], prog_name='millstream')\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    best_s = 9.0
    for _ in range(3):
        began = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        ended = os.times()  # what it costs, not how long it waits for others
        cost_s = ended.children_user + ended.children_system - began.children_user - began.children_system
        best_s = min(best_s, cost_s)
    assert "LOADED []" in done.stdout
    assert best_s < 0.3


@pytest.mark.parametrize("module", sorted(main._MODULES))
def test_table_and_modules_agree(module: str) -> None:
    commands: list[click.Command] = importlib.import_module(f"api.cli.{module}").commands
    assert {command.name for command in commands} == set(main._MODULES[module])


def leaves(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Paths of the commands at and below this one that are no groups."""
    if not isinstance(command, click.Group):
        return [path]
    return [leaf for name, below in command.commands.items() for leaf in leaves(below, (*path, name))]


@pytest.mark.parametrize("name", sorted(main._MODULE_OF))
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    for path in leaves(command, (name,)):
        result = CliRunner().invoke(main.cli, [*path, "--help"])
        assert result.exit_code == 0, result.output
        words = " ".join(result.output.partition("Options:")[2].split())
        assert f"millstream {' '.join(path)}" in words, f"millstream {' '.join(path)} --help has no example"


def test_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("millstream, version ")


def test_error_has_two_lines_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command(name="demo")
    def failing() -> None:
        raise MillstreamError("the mill stands still", remedy="bring water")

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: failing)
    result = CliRunner().invoke(main.cli, ["demo"])
    assert result.exit_code == 1
    assert result.stderr == "error: the mill stands still\nwhat to do: bring water\n"
    monkeypatch.setenv("MILLSTREAM_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(main.cli, ["demo"]).exception, MillstreamError)


def test_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main.cli, ["mill"])
    assert result.exit_code == 2
    assert "no such command 'mill'; there are " in result.stderr
