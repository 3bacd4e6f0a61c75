"""``millstream org``: users who belong together."""

from typing import Final

import click
import msgspec

from api.cli.client import Client, connect
from api.cli.output import confirmed, print_json, print_table
from api.cli.user_command import one_of
from infra.settings import load_settings
from schemas.errors import MillstreamError

_SHOWN: Final = "fragment Shown on Org { id name displayName members { nodes { username } } }\n"
_CREATE: Final = (
    "mutation Create($name: String!, $display: String) "
    "{ createOrganization(name: $name, displayName: $display) { ...Shown } }\n" + _SHOWN
)
_LIST: Final = "query Orgs { organizations(first: 1000) { nodes { ...Shown } } }\n" + _SHOWN
_ONE: Final = "query One($name: String!) { organization(name: $name) { ...Shown } }\n" + _SHOWN
_ADD: Final = "mutation Add($org: ID!, $user: String!) { addUserToOrganization(organization: $org, username: $user) { alwaysNil } }"
_REMOVE: Final = "mutation Remove($org: ID!, $user: ID!) { removeUserFromOrganization(user: $user, organization: $org) { alwaysNil } }"
_DELETE: Final = "mutation Delete($org: ID!) { deleteOrganization(organization: $org) { alwaysNil } }"


class Shown(msgspec.Struct, rename="camel"):
    """An organisation as commands show it."""

    class Members(msgspec.Struct):
        class Member(msgspec.Struct):
            username: str

        nodes: list[Member]

    id: str
    name: str
    display_name: str | None
    members: Members

    @property
    def usernames(self) -> list[str]:
        """Of its members."""
        return [one.username for one in self.members.nodes]


class _Created(msgspec.Struct, rename="camel"):
    create_organization: Shown


class _Listed(msgspec.Struct):
    class Page(msgspec.Struct):
        nodes: list[Shown]

    organizations: Page


class _Found(msgspec.Struct):
    organization: Shown | None


class OrganizationUnknown(MillstreamError):
    """There is no organisation of this name, or it is not for the one who asks."""


@click.group(epilog="Example: millstream org create platform && millstream org add platform alice")
def org() -> None:
    """Found organisations, and say who belongs to them."""


@org.command(epilog="Example: millstream org create platform --display-name 'Platform team'")
@click.argument("name")
@click.option("--display-name", help="The name for people.")
def create(name: str, display_name: str | None) -> None:
    """Found an organisation."""
    with connect(load_settings()) as client:
        made = client.ask(_CREATE, {"name": name, "display": display_name}, _Created).create_organization
    click.echo(f"{made.name}: founded.")


@org.command("list", epilog="Example: millstream org list --json")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per organisation.")
def list_(as_json: bool) -> None:
    """Show the organisations and their members."""
    with connect(load_settings()) as client:
        found = client.ask(_LIST, {}, _Listed).organizations.nodes
    if as_json:
        print_json(
            [
                {"id": one.id, "name": one.name, "displayName": one.display_name, "members": one.usernames}
                for one in found
            ]
        )
        return
    print_table(
        ("NAME", "FOR PEOPLE", "MEMBERS"),
        [(one.name, one.display_name or "", ", ".join(one.usernames)) for one in found],
        empty="There are no organisations: millstream org create NAME",
    )


@org.command(epilog="Example: millstream org add platform alice bob")
@click.argument("name")
@click.argument("users", nargs=-1, required=True, metavar="USER...")
def add(name: str, users: tuple[str, ...]) -> None:
    """Add users to an organisation."""
    with connect(load_settings()) as client:
        found = _one(client, name)
        for one in users:
            client.ask(_ADD, {"org": found.id, "user": one}, dict)
    click.echo(f"{found.name}: {', '.join(users)} {_belong(users)} to it.")


@org.command(epilog="Example: millstream org remove platform alice")
@click.argument("name")
@click.argument("users", nargs=-1, required=True, metavar="USER...")
def remove(name: str, users: tuple[str, ...]) -> None:
    """Take users out of an organisation."""
    with connect(load_settings()) as client:
        found = _one(client, name)
        for one in users:
            client.ask(_REMOVE, {"org": found.id, "user": one_of(client, one).id}, dict)
    click.echo(f"{found.name}: {', '.join(users)} {_belong(users)} to it no longer.")


@org.command(epilog="Example: millstream org delete platform --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
def delete(name: str, yes: bool) -> None:
    """End an organisation for ever; its members keep their accounts."""
    with connect(load_settings()) as client:
        found = _one(client, name)
        if not yes:
            confirmed(f"End the organisation {found.name} for ever?", "nothing was ended")
        client.ask(_DELETE, {"org": found.id}, dict)
    click.echo(f"{found.name}: ended.")


def _belong(users: tuple[str, ...]) -> str:
    return "belongs" if len(users) == 1 else "belong"


def _one(client: Client, name: str) -> Shown:
    found = client.ask(_ONE, {"name": name}, _Found).organization
    if found is None:
        raise OrganizationUnknown(f"there is no organisation {name!r}", remedy="millstream org list")
    return found


commands: list[click.Command] = [org]
