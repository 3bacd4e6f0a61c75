"""``millstream insight`` with all its commands."""

import click

from api.cli.backfill_commands import commands as backfill_commands
from api.cli.insight_command import insight

for command in backfill_commands:
    insight.add_command(command)

commands: list[click.Command] = [insight]
