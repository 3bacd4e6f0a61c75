"""``millstream repo`` with all its commands."""

import click

from api.cli.notify_command import notify
from api.cli.permissions_command import permissions
from api.cli.repo_changes import changes
from api.cli.repo_command import repo

for command in (*changes, notify, permissions):
    repo.add_command(command)

commands: list[click.Command] = [repo]
