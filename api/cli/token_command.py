"""``millstream token``: by what programs get in."""

from datetime import datetime
from typing import Final

import click
import msgspec

from api.cli.client import connect
from api.cli.output import print_json, print_table
from api.cli.user_command import one_of
from infra.settings import load_settings

_CREATE: Final = """
mutation Create($user: ID!, $scopes: [String!]!, $note: String!, $lasts: Int) {
  createAccessToken(user: $user, scopes: $scopes, note: $note, durationSeconds: $lasts) { id token }
}
"""
_LIST: Final = """
query Tokens($name: String!) {
  user(username: $name) { accessTokens(first: 1000) { nodes { id scopes note createdAt createdBy expiresAt } } }
}
"""
_REVOKE_ID: Final = "mutation Revoke($id: ID!) { deleteAccessToken(byID: $id) { alwaysNil } }"
_REVOKE_TOKEN: Final = "mutation Revoke($token: String!) { deleteAccessToken(byToken: $token) { alwaysNil } }"
_DAY_S: Final = 24 * 3600
_PREFIX: Final = "mst_"


class _Created(msgspec.Struct, rename="camel"):
    class Made(msgspec.Struct):
        id: str
        token: str

    create_access_token: Made


class Shown(msgspec.Struct, rename="camel"):
    """A token as commands show it: all but the token."""

    id: str
    scopes: list[str]
    note: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None


class _Listed(msgspec.Struct):
    class User(msgspec.Struct, rename="camel"):
        class Page(msgspec.Struct):
            nodes: list[Shown]

        access_tokens: Page

    user: User | None


@click.group(epilog="Example: millstream token create alice --note 'nightly build' --scope read")
def token() -> None:
    """Make, list and revoke access tokens."""


@token.command(
    epilog="Example: MILLSTREAM_TOKEN=$(millstream token create alice --note laptop) millstream repo list"
)
@click.argument("user")
@click.option("--note", required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("read",),
    show_default=True,
    type=click.Choice(["read", "write", "admin", "user:all"]),
    help="What it may be used for; may be repeated.",
)
@click.option("--days", type=click.IntRange(min=1), help="How long it holds; without: until it is revoked.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def create(user: str, note: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a token for a user, and print it: it is told this once."""
    with connect(load_settings()) as client:
        given = {
            "user": one_of(client, user).id,
            "scopes": list(scopes),
            "note": note,
            "lasts": None if days is None else days * _DAY_S,
        }
        made = client.ask(_CREATE, given, _Created).create_access_token
    if as_json:
        print_json({"id": made.id, "token": made.token})
    else:
        click.echo(made.token)


@token.command("list", epilog="Example: millstream token list alice --json")
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per token.")
def list_(user: str, as_json: bool) -> None:
    """Show the tokens of a user: all but the tokens themselves."""
    with connect(load_settings()) as client:
        one_of(client, user)
        answer = client.ask(_LIST, {"name": user}, _Listed).user
    found = [] if answer is None else answer.access_tokens.nodes
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
        return
    print_table(
        ("ID", "SCOPES", "NOTE", "MADE", "BY", "UNTIL"),
        [
            (
                one.id,
                ", ".join(one.scopes),
                one.note,
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.created_by,
                "" if one.expires_at is None else f"{one.expires_at:%Y-%m-%d %H:%M}",
            )
            for one in found
        ],
        empty=f"{user} has no token.",
    )


@token.command(
    epilog="Example: millstream token revoke $(millstream token list alice --json | jq -r '.[0].id')"
)
@click.argument("id_or_token")
def revoke(id_or_token: str) -> None:
    """Revoke a token, by its id or itself: within a second nobody gets in with it."""
    with connect(load_settings()) as client:
        if id_or_token.startswith(_PREFIX):
            client.ask(_REVOKE_TOKEN, {"token": id_or_token}, dict)
        else:
            client.ask(_REVOKE_ID, {"id": id_or_token}, dict)
    click.echo("The token is revoked.")


commands: list[click.Command] = [token]
