"""``millstream projector`` and ``projection``: what keeps the answers ready, and how far it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from sqlalchemy import Connection

from api.cli.output import print_json, print_table
from api.cli.rebuild_commands import commands as rebuild_commands
from infra.kafka.admin import KafkaAdmin
from infra.logging import configure
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings, load_settings
from projections.catalogue import PROJECTIONS
from projections.lag import ProjectionLag, projection_lags

_NAMES = [one.name for one in PROJECTIONS]


@click.command(epilog="Example: millstream projector --only series_points --only insights")
@click.option(
    "--only", multiple=True, type=click.Choice(_NAMES), help="Run this projection only (repeatable)."
)
def projector(only: tuple[str, ...]) -> None:
    """Run the projections until Ctrl-C or SIGTERM.

    Several projectors share the partitions; when one dies, another takes its partitions over. Exit code 70 means
    that going on would have made the rows wrong: the log says why and what to do.
    """
    from projections.process import run

    settings = load_settings()
    configure(
        "projector",
        json={"auto": None, "json": True, "console": False}[settings.log_format],
        level=settings.log_level,
    )
    sys.exit(run(settings, only or None))


@click.group(epilog="Example: millstream projection list && millstream projection rebuild series_points")
def projection() -> None:
    """The projections: tables folded from the log."""


@projection.command("list", epilog="Example: millstream projection list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(as_json: bool) -> None:
    """Name, generation, lag in records and state of every projection."""
    with _connected(load_settings()) as (connection, admin):
        lags = projection_lags(connection, admin)
    if as_json:
        print_json([_plain(lag) for lag in lags])
        return
    print_table(
        ("NAME", "GENERATION", "LAG", "STATE", "APPLIED TO", "DEAD LETTERS", "QUARANTINED"),
        [
            (
                lag.projection,
                str(lag.generation),
                f"{lag.records:,}",
                lag.state,
                _time(lag.applied_to),
                str(lag.dead_letters),
                _quarantined(lag),
            )
            for lag in lags
        ],
    )
    for lag in lags:
        if lag.reason:
            click.echo(f"{lag.projection}: {lag.reason}", err=True)


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[Connection, KafkaAdmin]]:
    database = engine(settings, Role.PROJECTOR, pool_size=1, name="cli")
    try:
        with KafkaAdmin(settings) as admin, database.connect() as connection:
            yield connection, admin
    finally:
        database.dispose()


def _plain(lag: ProjectionLag) -> dict[str, object]:
    return {
        "name": lag.projection,
        "generation": lag.generation,
        "lag": lag.records,
        "state": lag.state,
        "reason": lag.reason,
        "appliedTo": lag.applied_to,
        "deadLetters": lag.dead_letters,
        "quarantinedAggregates": lag.quarantined_aggregates,
        "quarantinedEvents": lag.quarantined_events,
    }


def _quarantined(lag: ProjectionLag) -> str:
    if not lag.quarantined_aggregates:
        return "0"
    return f"{lag.quarantined_aggregates:,} ({lag.quarantined_events:,} events)"


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


for _command in rebuild_commands:
    projection.add_command(_command)
commands: list[click.Command] = [projector, projection]
