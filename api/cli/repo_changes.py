"""``millstream repo remove``, ``rename`` and ``update``: what changes about a repository that is followed."""

from typing import Final

import click
import msgspec

from api.cli.client import Client, connect
from api.cli.output import confirmed, print_json
from api.cli.repo_command import SHOWN, Shown, named
from infra.settings import load_settings
from schemas.errors import MillstreamError

_REMOVE: Final = "mutation RemoveRepository($id: ID!) { removeRepository(repository: $id) { alwaysNil } }"
_RENAME: Final = (
    "mutation RenameRepository($id: ID!, $name: String!) "
    "{ renameRepository(repository: $id, name: $name) { repository { ...Shown } } }" + SHOWN
)
_UPDATE: Final = (
    "mutation UpdateRepository($id: ID!, $input: UpdateRepositoryInput!) "
    "{ updateRepository(repository: $id, input: $input) { repository { ...Shown } } }" + SHOWN
)


class _Removed(msgspec.Struct, rename="camel"):
    remove_repository: object


class _Payload(msgspec.Struct):
    repository: Shown


class _Renamed(msgspec.Struct, rename="camel"):
    rename_repository: _Payload


class _Updated(msgspec.Struct, rename="camel"):
    update_repository: _Payload


class RepositoryUnknown(MillstreamError):
    """No repository of this name is followed."""


@click.command(epilog="Example: millstream repo remove git.example.com/team/app --yes")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of {id, name, removed}.")
def remove(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Follow repositories no longer: nothing more is counted in them; what was counted stays.

    Adding one again brings it back. Files are left alone.
    """
    with connect(load_settings()) as client:
        found = [followed(client, name) for name in names]
        if not yes:
            confirmed(f"Follow {', '.join(one.name for one in found)} no longer?", "nothing was removed")
        for one in found:
            client.ask(_REMOVE, {"id": one.id}, _Removed)
    if as_json:
        print_json([{"id": one.id, "name": one.name, "removed": True} for one in found])
    else:
        for one in found:
            click.echo(f"{one.name}: removed")


@click.command(epilog="Example: millstream repo rename git.example.com/team/app git.example.com/platform/app")
@click.argument("name")
@click.argument("new_name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rename(name: str, new_name: str, as_json: bool) -> None:
    """Give a repository a new canonical name; its history stays."""
    with connect(load_settings()) as client:
        given = {"id": followed(client, name).id, "name": new_name}
        _show(client.ask(_RENAME, given, _Renamed).rename_repository.repository, as_json)


@click.command(epilog="Example: millstream repo update git.example.com/team/app --archived --branch main")
@click.argument("name")
@click.option("--fork/--no-fork", default=None, help="Forks are counted only where a query says fork:yes.")
@click.option(
    "--archived/--no-archived",
    default=None,
    help="Archived ones are counted only where a query says archived:yes.",
)
@click.option("--private/--public", default=None, help="Whether not everybody may see it.")
@click.option("--branch", help="The branch that is counted from now on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def update(
    name: str,
    fork: bool | None,
    archived: bool | None,
    private: bool | None,
    branch: str | None,
    as_json: bool,
) -> None:
    """Change properties of a repository; those that are not named stay as they are."""
    changed = {"fork": fork, "archived": archived, "private": private, "defaultBranch": branch}
    given = {name: value for name, value in changed.items() if value is not None}
    if not given:
        raise click.UsageError("nothing is to be changed: name at least one option")
    with connect(load_settings()) as client:
        found = client.ask(_UPDATE, {"id": followed(client, name).id, "input": given}, _Updated)
        _show(found.update_repository.repository, as_json)


def followed(client: Client, name: str) -> Shown:
    """The followed repository of this name. Raises RepositoryUnknown."""
    found = named(client, name)
    if found is None:
        raise RepositoryUnknown(f"no repository {name!r} is followed", remedy="millstream repo list")
    return found


def _show(one: Shown, as_json: bool) -> None:
    if as_json:
        print_json(one.as_json())
        return
    marks = [
        word
        for word, holds in (("fork", one.is_fork), ("archived", one.is_archived), ("private", one.is_private))
        if holds
    ]
    branch = f", counted on {one.default_branch.display_name}" if one.default_branch else ""
    click.echo(f"{one.name}: {one.state}{branch}{''.join(f', {mark}' for mark in marks)}")


changes: list[click.Command] = [remove, rename, update]
