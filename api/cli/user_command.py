"""``millstream user``: who has an account, and who is a site admin."""

import shlex
from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli.client import Client, connect
from api.cli.output import confirmed, print_json, print_table
from infra.settings import load_settings
from schemas.accounts.names import LOCAL_ADMIN
from schemas.errors import MillstreamError

_SHOWN: Final = """
fragment Shown on User { id username displayName siteAdmin createdAt emails { email } accessTokens { totalCount } }
"""
_CREATE: Final = """
mutation Create($name: String!, $email: String, $display: String) {
  createUser(username: $name, email: $email, displayName: $display) { user { ...Shown } }
}
"""
_LIST: Final = """
query Users($after: String, $find: String) {
  users(first: 500, after: $after, query: $find) { nodes { ...Shown } pageInfo { endCursor hasNextPage } }
}
"""
_ONE: Final = "query One($name: String!) { user(username: $name) { ...Shown } }\n"
_ADMIN: Final = "mutation Admin($id: ID!, $is: Boolean!) { setUserIsSiteAdmin(userID: $id, siteAdmin: $is) { alwaysNil } }"
_EMAIL: Final = (
    "mutation Email($id: ID!, $email: String!) { addUserEmail(user: $id, email: $email) { alwaysNil } }"
)
_DELETE: Final = "mutation Delete($id: ID!) { deleteUser(user: $id) { alwaysNil } }"


class _Email(msgspec.Struct):
    email: str


class _Tokens(msgspec.Struct, rename="camel"):
    total_count: int


class Shown(msgspec.Struct, rename="camel"):
    """A user as commands show it."""

    id: str
    username: str
    display_name: str | None
    site_admin: bool
    created_at: datetime | None
    emails: list[_Email]
    access_tokens: _Tokens

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "username": self.username,
            "displayName": self.display_name,
            "siteAdmin": self.site_admin,
            "createdAt": self.created_at,
            "emails": [one.email for one in self.emails],
            "tokens": self.access_tokens.total_count,
        }


class _Found(msgspec.Struct):
    user: Shown | None


class _Created(msgspec.Struct, rename="camel"):
    class Payload(msgspec.Struct):
        user: Shown

    create_user: Payload


class _Listed(msgspec.Struct):
    class Page(msgspec.Struct, rename="camel"):
        class Info(msgspec.Struct, rename="camel"):
            end_cursor: str | None
            has_next_page: bool

        nodes: list[Shown]
        page_info: Info

    users: Page


class UserUnknown(MillstreamError):
    """No account of this name is open."""


@click.group(epilog="Example: millstream user create alice && millstream login --user alice")
def user() -> None:
    """Open, list, promote and close accounts."""


@user.command(epilog="Example: millstream user create alice --email alice@example.com --admin")
@click.argument("name")
@click.option("--email", help="An address; it goes into the vault and nowhere else.")
@click.option("--display-name", help="The name for people.")
@click.option("--admin", is_flag=True, help="Make the user a site admin.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def create(name: str, email: str | None, display_name: str | None, admin: bool, as_json: bool) -> None:
    """Open an account. The name is given for ever."""
    with connect(load_settings()) as client:
        given = {"name": name, "email": email, "display": display_name}
        made = client.ask(_CREATE + _SHOWN, given, _Created).create_user.user
        if admin:
            client.ask(_ADMIN, {"id": made.id, "is": True}, dict)
            made = one_of(client, made.username)
    if as_json:
        print_json(made.as_json())
        return
    click.echo(f"{made.username}: the account is open{', of a site admin' if made.site_admin else ''}.")
    click.echo(f"log in: millstream login --user {made.username}", err=True)


@user.command("list", epilog="Example: millstream user list --json | jq -r '.[].username'")
@click.option("--find", help="Only those whose name contains this text.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per user.")
def list_(find: str | None, as_json: bool) -> None:
    """Show the open accounts."""
    found: list[Shown] = []
    after: str | None = None
    with connect(load_settings()) as client:
        while True:
            page = client.ask(_LIST + _SHOWN, {"after": after, "find": find}, _Listed).users
            found += page.nodes
            after = page.page_info.end_cursor
            if not page.page_info.has_next_page:
                break
    if as_json:
        print_json([one.as_json() for one in found])
        return
    print_table(
        ("NAME", "FOR PEOPLE", "SITE ADMIN", "E-MAIL", "TOKENS"),
        [
            (
                one.username,
                one.display_name or "",
                "yes" if one.site_admin else "",
                ", ".join(each.email for each in one.emails),
                str(one.access_tokens.total_count),
            )
            for one in found
        ],
        empty="There are no accounts yet, only the local admin: millstream user create NAME",
    )


@user.command(epilog="Example: millstream user email alice alice@example.com")
@click.argument("name")
@click.argument("address")
def email(name: str, address: str) -> None:
    """Give a user an address, in place of the one before. The local admin's is a setting: MILLSTREAM_ADMIN_EMAIL."""
    if name.lower() == LOCAL_ADMIN:
        raise UserUnknown(
            f"{LOCAL_ADMIN} is the local admin, for whom no account is open",
            remedy=f"Set MILLSTREAM_ADMIN_EMAIL={shlex.quote(address)} and start Millstream again.",
        )
    with connect(load_settings()) as client:
        client.ask(_EMAIL, {"id": one_of(client, name).id, "email": address}, dict)
    click.echo(f"{name}: the address is in the vault.")


@user.command(epilog="Example: millstream user promote alice")
@click.argument("name")
def promote(name: str) -> None:
    """Make a user a site admin."""
    _set_admin(name, True)
    click.echo(f"{name} is a site admin now.")


@user.command(epilog="Example: millstream user demote alice")
@click.argument("name")
def demote(name: str) -> None:
    """Make a user a site admin no longer."""
    _set_admin(name, False)
    click.echo(f"{name} is a site admin no longer.")


@user.command(epilog="Example: millstream user delete alice --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
def delete(name: str, yes: bool) -> None:
    """Close an account for ever, and erase what is personal. Nobody gets its name again."""
    with connect(load_settings()) as client:
        found = one_of(client, name)
        if not yes:
            confirmed(f"Close the account {found.username} for ever?", "nothing was closed")
        client.ask(_DELETE, {"id": found.id}, dict)
    click.echo(f"{found.username}: the account is closed.")


def one_of(client: Client, name: str) -> Shown:
    """The open account of this name. Raises UserUnknown."""
    found = client.ask(_ONE + _SHOWN, {"name": name}, _Found).user
    if found is None:
        raise UserUnknown(f"there is no user {name!r}", remedy="millstream user list")
    return found


def _set_admin(name: str, site_admin: bool) -> None:
    with connect(load_settings()) as client:
        client.ask(_ADMIN, {"id": one_of(client, name).id, "is": site_admin}, dict)


commands: list[click.Command] = [user]
