"""``millstream demo``."""

import sys
from pathlib import Path

import click

_INTERRUPTED = 130


@click.command(
    epilog="Example: millstream demo --exit        millstream demo --repo '~/code/app ~/code/lib' --query 'old_api('",
)
@click.option(
    "--repo",
    "repositories",
    envvar="MILLSTREAM_DEMO_REPO",
    default="",
    help="Your repositories instead of the samples: paths, clone URLs or folders of repositories, separated by spaces (quote as in a shell).",
)
@click.option(
    "--query",
    envvar="MILLSTREAM_DEMO_QUERY",
    default="",
    help="What to count; without it TODO and FIXME in your own repositories.",
)
@click.option(
    "--exit",
    "exit_at_end",
    is_flag=True,
    help="Stop everything after the result instead of waiting for Ctrl-C.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures to this file too.",
)
def demo(repositories: str, query: str, exit_at_end: bool, json_file: Path | None) -> None:
    """Start everything, count the history of some repositories, show the chart.

    Kafka, PostgreSQL, projector, worker and API run as children of this command, with their data below .millstream. A Millstream that
    runs already is joined, and left running. A second run finds its data and its insight again and counts nothing twice.
    """
    from rich.console import Console

    from api.demo.flow import Wanted, run
    from infra.embedded.signals import StopRequested, stop_signals_raise
    from infra.logging import configure

    configure("demo", level="warning")  # its own lines say what happens
    console = (
        Console(soft_wrap=False, highlight=False)
        if sys.stdout.isatty()
        else Console(width=110, highlight=False)
    )
    try:
        with stop_signals_raise():
            outcome = run(Wanted(repositories, query, Path.cwd(), exit_at_end, json_file), console)
    except StopRequested:
        click.echo("Stopped before the end", err=True)
        sys.exit(_INTERRUPTED)
    if outcome.problem is not None:
        sys.exit(1)


commands: list[click.Command] = [demo]
