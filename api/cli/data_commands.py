"""Commands that reach the data through the API, and ``publish``, which reaches the log."""

import click

from api.cli.backfill_commands import commands as backfill_commands
from api.cli.graphql_commands import api, graphql, login
from api.cli.insight_command import insight
from api.cli.notify_command import notify
from api.cli.org_command import org
from api.cli.permissions_command import permissions
from api.cli.publish_command import publish
from api.cli.repo_changes import changes
from api.cli.repo_command import repo
from api.cli.settings_command import settings
from api.cli.token_command import token
from api.cli.user_command import user

commands: list[click.Command] = [
    repo,
    insight,
    settings,
    publish,
    graphql,
    api,
    login,
    user,
    token,
    org,
]

for change in (*changes, notify, permissions):
    repo.add_command(change)
for command in backfill_commands:
    insight.add_command(command)
