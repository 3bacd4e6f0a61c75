"""``millstream repo``: follow repositories, and see which are followed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from api.cli.client import ApiRefused, Client, connect
from api.cli.output import print_json, print_table, progress, warn
from api.demo.choices import Chosen, check_urls, require_git, to_follow
from infra.settings import load_settings
from schemas.errors import MillstreamError

_POLL_S: Final = 0.3
_MOST_CHARACTERS: Final = 80
_ADD: Final = """
mutation AddRepository($input: AddRepositoryInput!) {
  addRepository(input: $input) { position repository { ...Shown } }
}
"""
_LIST: Final = """
query Repositories($after: String, $find: String) {
  repositories(first: 500, after: $after, query: $find) { nodes { ...Shown } pageInfo { endCursor hasNextPage } }
}
"""
_ONE: Final = "query Repository($name: String!) { repository(name: $name) { ...Shown } }\n"
SHOWN: Final = """
fragment Shown on Repository {
  id name isFork isArchived isPrivate
  defaultBranch { displayName target { oid } }
  mirrorInfo { remoteURL cloned lastError shallow }
}
"""


class _Target(msgspec.Struct):
    oid: str


class _Branch(msgspec.Struct, rename="camel"):
    display_name: str
    target: _Target


class _Mirror(msgspec.Struct, rename="camel"):
    remote_url: str = msgspec.field(name="remoteURL")
    cloned: bool = False
    last_error: str | None = None
    shallow: bool = False


class Shown(msgspec.Struct, rename="camel"):
    """A repository as commands show it."""

    id: str
    name: str
    is_fork: bool
    is_archived: bool
    is_private: bool
    default_branch: _Branch | None
    mirror_info: _Mirror

    @property
    def state(self) -> str:
        """ready, waiting or failed."""
        return "ready" if self.mirror_info.cloned else "failed" if self.mirror_info.last_error else "waiting"

    @property
    def described(self) -> str:
        """The state for people: why it failed, and whether nothing was committed yet."""
        if self.mirror_info.last_error:
            return f"failed: {self.mirror_info.last_error}"
        return "empty" if self.state == "ready" and self.default_branch is None else self.state

    def as_json(self) -> dict[str, object]:
        branch = self.default_branch
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "error": self.mirror_info.last_error,
            "location": self.mirror_info.remote_url,
            "defaultBranch": branch.display_name if branch else None,
            "tip": branch.target.oid if branch else None,
            "shallow": self.mirror_info.shallow,
            "fork": self.is_fork,
            "archived": self.is_archived,
            "private": self.is_private,
        }


class _Page(msgspec.Struct, rename="camel"):
    class Info(msgspec.Struct, rename="camel"):
        end_cursor: str | None
        has_next_page: bool

    nodes: list[Shown]
    page_info: Info


class _Listed(msgspec.Struct):
    repositories: _Page


class _Found(msgspec.Struct):
    repository: Shown | None


class _Added(msgspec.Struct, rename="camel"):
    class Payload(msgspec.Struct):
        position: str
        repository: Shown

    add_repository: Payload


class CloneFailed(MillstreamError):
    """A repository was added, and could not be made readable."""


class WaitTimedOut(MillstreamError):
    """What was waited for did not happen in time."""


@click.group(epilog="Example: millstream repo add ~/code/app --wait && millstream repo list")
def repo() -> None:
    """Register, list, rename and remove repositories."""


@repo.command("add", epilog="Example: millstream repo add ~/code https://git.example.com/team/app.git --wait")
@click.argument("locations", nargs=-1, required=True, metavar="PATH|URL...")
@click.option("--name", help="host/path by which it is known; only for a single repository.")
@click.option("--fork", is_flag=True, help="It is a fork: counted only where a query says fork:yes.")
@click.option(
    "--archived", is_flag=True, help="It is archived: counted only where a query says archived:yes."
)
@click.option("--private", is_flag=True, help="Not everybody may see it.")
@click.option("--no-check", is_flag=True, help="Register a clone URL though git cannot read it from here.")
@click.option("--wait", is_flag=True, help="Return when it is ready to be counted.")
@click.option("--timeout", "timeout_s", default=600.0, show_default=True, help="Longest wait, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per repository.")
def add(
    locations: tuple[str, ...],
    name: str | None,
    fork: bool,
    archived: bool,
    private: bool,
    no_check: bool,
    wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Follow repositories: a clone (read in place), a folder of clones (each), or a clone URL (mirrored).

    A clone URL that git cannot read from here is refused, for a repository without a clone leaves every chart over all
    repositories incomplete. With --no-check it is registered all the same: where only the workers reach it.
    """
    require_git()
    chosen = [one for location in locations for one in _chosen(location)]
    if name is not None and len(chosen) != 1:
        raise click.UsageError(f"--name fits one repository, these are {len(chosen)}")
    if not no_check:
        check_urls(chosen, otherwise="; or register it unseen: --no-check")
    flags: dict[str, object] = {"fork": fork, "archived": archived, "private": private}
    with connect(load_settings()) as client:
        before = {given for one in chosen if named(client, given := name or one.name) is not None}
        added = [_add(client, one, name, flags) for one in chosen]
        if wait:
            added = wait_ready(client, [one.name for one in added], timeout_s)
    if as_json:
        print_json([one.as_json() for one in added])
    else:
        for one in added:
            click.echo(f"{one.name}: {one.state}{', was followed already' if one.name in before else ''}")
    failed = [one for one in added if one.mirror_info.last_error]
    if failed:
        raise CloneFailed(
            f"{failed[0].name}: {failed[0].mirror_info.last_error}",
            remedy="Correct what it says, then add it again.",
        )


@repo.command("list", epilog="Example: millstream repo list --json | jq -r '.[].name'")
@click.option("--find", help="Only those whose name contains this text.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per repository.")
def list_(find: str | None, as_json: bool) -> None:
    """Show the repositories that are followed."""
    found: list[Shown] = []
    after: str | None = None
    with connect(load_settings()) as client:
        while True:
            page = client.ask(_LIST + SHOWN, {"after": after, "find": find}, _Listed).repositories
            found += page.nodes
            after = page.page_info.end_cursor
            if not page.page_info.has_next_page:
                break
    if as_json:
        print_json([one.as_json() for one in found])
        return
    print_table(
        ("NAME", "STATE", "BRANCH", "TIP", "FROM"),
        [
            (
                one.name,
                _short(one.described),
                one.default_branch.display_name if one.default_branch else "",
                one.default_branch.target.oid[:12] if one.default_branch else "",
                one.mirror_info.remote_url,
            )
            for one in found
        ],
        empty="No repository is followed yet: millstream repo add PATH",
    )


def named(client: Client, name: str) -> Shown | None:
    """The followed repository of this name."""
    return client.ask(_ONE + SHOWN, {"name": name}, _Found).repository


def wait_ready(client: Client, names: Sequence[str], timeout_s: float) -> list[Shown]:
    """The repositories once each is ready or failed. Raises WaitTimedOut."""
    deadline_s = time.monotonic() + timeout_s
    with progress("repositories ready") as report:
        while True:
            answers = [named(client, name) for name in names]
            found = [one for one in answers if one is not None]
            settled = sum(one.state != "waiting" for one in found)
            report(sum(one.state == "ready" for one in found), len(names))
            if settled == len(names):
                return found
            if time.monotonic() > deadline_s:
                waiting = sorted(set(names) - {one.name for one in found if one.state != "waiting"})
                raise WaitTimedOut(
                    f"{waiting[0]} is not ready after {timeout_s:g} s",
                    remedy="See that a worker runs (millstream worker), and how far it is: millstream lag.",
                )
            time.sleep(_POLL_S)


def _short(text: str) -> str:
    """One line that leaves room for other columns; all of it is in --json."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"


def _chosen(location: str) -> list[Chosen]:
    """The repositories at one argument; what cannot be counted whole is added with a warning."""
    choice = to_follow(location, folder=Path.cwd())
    for line in choice.left_out:
        warn(line)
    return list(choice.repositories)


def _add(client: Client, one: Chosen, name: str | None, flags: dict[str, object]) -> Shown:
    given: dict[str, object] = {"name": name or one.name, "nameIsDerived": name is None, **flags}
    given |= {"path": str(one.path)} if one.path is not None else {"cloneUrl": one.clone_url}
    try:
        return client.ask(_ADD + SHOWN, {"input": given}, _Added).add_repository.repository
    except ApiRefused as error:
        raise ApiRefused(
            f"{one.location}: {error}", code=error.code, extensions=error.extensions, remedy=error.remedy
        ) from error
