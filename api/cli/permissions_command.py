"""``millstream repo permissions``: who may see a repository."""

from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli.client import Client, connect
from api.cli.output import print_json
from api.cli.repo_changes import followed
from infra.settings import load_settings
from schemas.errors import MillstreamError

_SHOW: Final = """
query Permissions($id: ID!) {
  node(id: $id) { ... on Repository { permissionsInfo { unrestricted usernames updatedAt } } }
}
"""
_LIST: Final = """
mutation Restrict($id: ID!, $users: [UserPermissionInput!]!) {
  setRepositoryPermissionsForUsers(repository: $id, userPermissions: $users) { position }
}
"""
_OPEN: Final = """
mutation Open($id: ID!) { setRepositoryPermissionsUnrestricted(repositories: [$id], unrestricted: true) { alwaysNil } }
"""


class Shown(msgspec.Struct, rename="camel"):
    """Who may see a repository."""

    unrestricted: bool
    usernames: list[str]
    updated_at: datetime | None


class _Answer(msgspec.Struct):
    class Node(msgspec.Struct, rename="camel"):
        permissions_info: Shown | None = None

    node: Node | None


class NotShown(MillstreamError):
    """Only site admins see permissions."""


@click.command(epilog="Example: millstream repo permissions git.example.com/team/app --user alice --user bob")
@click.argument("name")
@click.option(
    "--user", "users", multiple=True, help="Who may see it from now on, beside site admins; may be repeated."
)
@click.option("--nobody", is_flag=True, help="Only site admins may see it.")
@click.option("--everybody", is_flag=True, help="Everybody may see it again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def permissions(name: str, users: tuple[str, ...], nobody: bool, everybody: bool, as_json: bool) -> None:
    """Show who may see a repository, or lay it down anew: the users that are named replace those before."""
    if sum((bool(users), nobody, everybody)) > 1:
        raise click.UsageError("say one of --user, --nobody and --everybody")
    with connect(load_settings()) as client:
        found = followed(client, name)
        if everybody:
            client.ask(_OPEN, {"id": found.id}, dict)
        elif users or nobody:
            client.ask(_LIST, {"id": found.id, "users": [{"bindID": one} for one in users]}, dict)
        shown = _shown(client, found.id)
    if as_json:
        print_json({"name": found.name, **msgspec.to_builtins(shown, builtin_types=(datetime,))})
        return
    whom = "everybody" if shown.unrestricted else ", ".join(shown.usernames) or "nobody"
    click.echo(f"{found.name} is seen by {whom}{'' if shown.unrestricted else ' (and site admins)'}.")


def _shown(client: Client, node_id: str) -> Shown:
    node = client.ask(_SHOW, {"id": node_id}, _Answer).node
    if node is None or node.permissions_info is None:
        raise NotShown("only site admins see who may see a repository", remedy="Ask a site admin.")
    return node.permissions_info
