"""``millstream worker``: the agents."""

import sys

import click

from infra.logging import configure_from
from infra.settings import load_settings

_APPS = ("hands", "heads")


@click.command(
    epilog="Example: millstream worker        more work: start it again, here or on another machine"
)
@click.option(
    "--app", "apps", multiple=True, type=click.Choice(_APPS), help="Run this app only (repeatable)."
)
def worker(apps: tuple[str, ...]) -> None:
    """Run the agents until Ctrl-C or SIGTERM.

    HANDS registers repositories and counts in their clones; HEADS plans and dispatches. Each is a process of its own.
    Any number of workers share the partitions; when one dies, another takes over, and what it had not acknowledged
    is done again. Exit code 70 means a bug or a lost slot: the log has the stacks.
    """
    from streams.process import run

    settings = load_settings()
    wanted = tuple(name for name in _APPS if not apps or name in apps)
    configure_from(settings, "worker" if len(wanted) > 1 else f"worker-{wanted[0]}")
    sys.exit(run(settings, wanted))


commands: list[click.Command] = [worker]
