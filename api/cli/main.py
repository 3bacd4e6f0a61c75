"""The ``millstream`` command: a group whose commands are imported when they are called.

The commands live in the ``*_commands`` modules beside this one, each with a list ``commands``. Names and one-line helps stand
here too, so that ``millstream --help`` loads none of them; a test keeps both in agreement.
"""

import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from schemas.errors import MillstreamError

_MODULES: Final[dict[str, dict[str, str]]] = {
    "demo_commands": {
        "demo": "Show the whole system on sample repositories, or on your own.",
    },
    "stack_commands": {
        "up": "Start everything: Kafka, PostgreSQL, worker, projector and API.",
        "stack": "Start, stop or inspect the embedded Kafka and PostgreSQL.",
        "logs": "Show what the processes of the stack wrote.",
        "psql": "Open psql on the stack's database.",
    },
    "repo_commands": {
        "repo": "Register, list, rename and remove repositories.",
    },
    "insight_commands": {
        "insight": "Create, list, show and delete code insights.",
    },
    "settings_command": {
        "settings": "Show and change settings of the whole site.",
    },
    "publish_command": {
        "publish": "Validate events and publish them.",
    },
    "graphql_commands": {
        "graphql": "The GraphQL schema.",
        "api": "Run the API and the pages.",
        "login": "Print a link that logs a browser in, once.",
    },
    "user_command": {
        "user": "Open, list, promote and close accounts.",
    },
    "token_command": {
        "token": "Make, list and revoke access tokens.",
    },
    "org_command": {
        "org": "Found organisations, and say who belongs to them.",
    },
    "vault_command": {
        "vault": "Back up secrets and the keys of personal data, and bring them back.",
    },
    "projection_commands": {
        "projection": "Generations of projections: list, rebuild, compare, roll back.",
        "projector": "Run the projections.",
    },
    "event_command": {
        "event": "Where is my event: judged, passed by whom, what it caused, what is owed.",
    },
    "lag_command": {
        "lag": "How far every reader of the log is behind.",
    },
    "dead_letters_command": {
        "dead-letters": "What projections put aside: list, show, redrive, drop.",
    },
    "groups_command": {
        "groups": "Consumer groups: list, describe, set their offsets.",
    },
    "verify_command": {
        "verify": "Replay the log and compare every row with the live tables.",
    },
    "worker_commands": {
        "worker": "Run the agents.",
    },
    "upload_command": {
        "upload": "Upload an index of code.",
    },
    "monitor_command": {
        "monitor": "Be told when a new commit or diff matches a search.",
    },
    "infra_commands": {
        "config": "Show the configuration, secrets masked.",
        "topics": "Create the topics and check them.",
    },
}
_MODULE_OF: Final = {name: module for module, commands in _MODULES.items() for name in commands}
_NO_COMMAND: Final = re.compile(r"no such command '(.*)'")
_DIRECT: Final = {("repo", "notify"): ("notify_command", "notify")}
"""Commands that have to start quickly: they are run without importing their group."""
_SHORT_HELP: Final = {name: text for commands in _MODULES.values() for name, text in commands.items()}


def show_error(error: MillstreamError) -> None:
    """What went wrong and what to do about it, on standard error."""
    click.echo(f"error: {error}", err=True)
    if error.remedy:
        click.echo(f"what to do: {error.remedy}", err=True)


def typed_wrong(error: click.ClickException) -> MillstreamError:
    """What click says about a command line, in our form."""
    text = error.format_message().strip().removesuffix(".")
    text = text[:1].lower() + text[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return MillstreamError(text)
    missing = _NO_COMMAND.fullmatch(text)
    if missing is not None and isinstance(context.command, click.Group):
        known = context.command.list_commands(context)
        close = difflib.get_close_matches(missing[1], known, n=1, cutoff=0.65)
        text += f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
    return MillstreamError(text, remedy=f"{context.command_path} --help")


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULE_OF.get(cmd_name)
        if module is None:
            return None
        for command in importlib.import_module(f"api.cli.{module}").commands:
            if isinstance(command, click.Command) and command.name == cmd_name:
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but for the commands of other groups that are run at once."""
        direct = _DIRECT.get((args[0], args[1])) if len(args) > 1 else None
        if direct is None:
            return super().resolve_command(ctx, args)
        module, name = direct
        command = getattr(importlib.import_module(f"api.cli.{module}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"api.cli.{module}.{name} is no command")
        return " ".join(args[:2]), command, args[2:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SHORT_HELP.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MillstreamError as error:
            if os.environ.get("MILLSTREAM_TRACEBACK"):
                raise
            show_error(error)
            ctx.exit(1)

    def main(self, *args: Any, **extra: Any) -> Any:
        """As click's, but what was typed wrong is told as every other error is: what, and what to do."""
        run: Callable[..., Any] = super().main
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        try:
            sys.exit(run(*args, standalone_mode=False, **extra) or 0)
        except click.exceptions.NoArgsIsHelpError as shows_help:
            shows_help.show()
            sys.exit(shows_help.exit_code)
        except click.ClickException as error:
            show_error(typed_wrong(error))
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("stopped", err=True)
            sys.exit(1)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has --help with an example. MILLSTREAM_TRACEBACK=1 shows where an error comes from.",
)
@click.version_option(package_name="millstream", prog_name="millstream")
def cli() -> None:
    """Millstream turns what happens around your code into events, and keeps answers ready.

    \b
    Begin with:
      millstream demo                  the whole system on sample repositories
      millstream demo --repo ~/my/code --query 'TODO'
    """


def main() -> None:
    """Entry point of ``millstream`` and of ``python -m api.cli.main``."""
    cli.main(prog_name="millstream")


if __name__ == "__main__":
    main()
