"""``millstream repo notify``: tell that refs have moved; made to be called by a git hook.

It starts in the time of the interpreter (nothing but the standard library and click), waits two seconds at most, says
one line, and ends well whatever happens unless ``--strict``: a hook that fails would refuse somebody's push.
"""

import http.client
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from schemas.errors import MillstreamError

_TIMEOUT_S: Final = 2.0
_FIND: Final = """
query Followed($name: String, $location: String) {
  named: repository(name: $name) { id name }
  placed: repository(cloneURL: $location) { id name }
}"""
_TELL: Final = "mutation Notify($id: ID!) { updateMirrorRepository(repository: $id) { alwaysNil } }"


class NotTold(MillstreamError):
    """Nobody heard of the push: no API answers, or the repository is not followed."""


@click.command(
    epilog="Example: millstream repo notify --hook > .git/hooks/post-commit && chmod +x .git/hooks/post-commit"
)
@click.argument("repository", required=False, metavar="[NAME|PATH]")
@click.option("--strict", is_flag=True, help="Fail when nobody heard of it.")
@click.option(
    "--timeout", "timeout_s", default=_TIMEOUT_S, show_default=True, help="Longest wait, in seconds."
)
@click.option("--quiet", is_flag=True, help="Say nothing when all is well.")
@click.option(
    "--hook", is_flag=True, help="Print a hook that calls this, for this installation; tell nobody."
)
def notify(repository: str | None, strict: bool, timeout_s: float, quiet: bool, hook: bool) -> None:
    """Have the refs of a repository looked at now: a commit or a push then moves its charts at once.

    Without NAME or PATH it is the repository of the current folder.
    """
    if hook:
        click.echo(hook_text(), nl=False)
        return
    try:
        named = tell(repository, Path.cwd(), timeout_s)
    except (NotTold, OSError, subprocess.SubprocessError) as error:
        if strict:
            raise _told(error) from error
        click.echo(f"millstream: not told of this push: {error} (--strict makes that an error)", err=True)
        return
    if not quiet:
        click.echo(f"millstream: {named} is looked at")


def tell(repository: str | None, folder: Path, timeout_s: float) -> str:
    """Publish the wish; the repository's name. Raises NotTold, OSError, subprocess.SubprocessError."""
    api = _Api(timeout_s)
    # A path is what exists; anything else is a name, or the URL of a mirror.
    given = None if repository is None else Path(repository)
    is_path = given is None or given.is_dir() or repository in (".", "..")
    variables: dict[str, object] = {}
    if is_path:
        variables["location"] = str(top_of(folder if given is None else folder / given))
    else:
        variables["name"] = variables["location"] = repository
    found = api.ask(_FIND, variables)
    one = found.get("named") or found.get("placed")
    if not isinstance(one, dict):
        raise NotTold(
            f"{variables['location']} is not followed", remedy="Add it first: millstream repo add PATH"
        )
    api.ask(_TELL, {"id": one["id"]})
    return str(one["name"])


def top_of(folder: Path) -> Path:
    """The folder by which the repository around ``folder`` is registered: its work tree, or the bare one itself."""
    said = _git(
        folder, "rev-parse", "--path-format=absolute", "--is-bare-repository", "--git-dir"
    ).splitlines()
    if len(said) == 2 and said[0] != "true":
        # A hook stands in the git folder, or in the work tree; GIT_DIR is set, and then the tree is found from it.
        folder = Path(said[1])
        return folder.parent if folder.name == ".git" else Path(_git(folder, "rev-parse", "--show-toplevel"))
    return Path(said[1]) if len(said) == 2 else folder.resolve()


def hook_text() -> str:
    """A hook of POSIX shell: in the background, so that nobody waits."""
    lines = ["#!/bin/sh", "# Tells Millstream that refs have moved. Nobody waits for it, and it never fails."]
    if os.environ.get("MILLSTREAM_URL"):
        lines.append(f"MILLSTREAM_URL={shlex.quote(os.environ['MILLSTREAM_URL'])}")
        lines.append("export MILLSTREAM_URL")
    lines.append(f"MILLSTREAM_HOME={shlex.quote(str(_home()))}")
    lines.append("export MILLSTREAM_HOME")
    lines.append(f"{shlex.quote(sys.executable)} -m api.cli.main repo notify >/dev/null 2>&1 &")
    return "\n".join(lines) + "\n"


class _Api:
    """The API of ``MILLSTREAM_URL``, else the one that runs in this home."""

    def __init__(self, timeout_s: float) -> None:
        home = _home()
        url = os.environ.get("MILLSTREAM_URL") or _address(home)
        token = os.environ.get("MILLSTREAM_TOKEN") or _read(
            home / "token", f"no API was ever started in {home}"
        )
        parts = urlsplit(url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = make(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
        self._path = parts.path.rstrip("/") + "/graphql"
        self._headers = {"Authorization": f"token {token.strip()}", "Content-Type": "application/json"}

    def ask(self, query: str, variables: dict[str, object]) -> dict[str, object]:
        """The ``data`` of an operation. Raises NotTold, OSError."""
        body = json.dumps({"query": query, "variables": variables})
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            found = json.loads(answer.read())
        except (http.client.HTTPException, ValueError) as error:
            raise NotTold(f"the API answered with something else: {error}") from error
        if not isinstance(found, dict) or found.get("errors"):
            errors = found.get("errors") if isinstance(found, dict) else None
            raise NotTold(str(errors[0].get("message")) if errors else "the API answered with something else")
        data = found.get("data")
        return data if isinstance(data, dict) else {}


def _home() -> Path:
    named = os.environ.get("MILLSTREAM_HOME")
    if named:
        return Path(named)
    if not (os.environ.get("MILLSTREAM_CONFIG") or Path("millstream.toml").exists()):
        return Path.cwd() / ".millstream"
    from infra.settings import load_settings  # slow to import, and only here needed

    return load_settings().home


def _address(home: Path) -> str:
    found = json.loads(_read(home / "api.json", f"no API runs in {home}"))
    return str(found["url"])


def _read(file: Path, otherwise: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotTold(
            otherwise,
            remedy="Name the home of the installation in MILLSTREAM_HOME, or its API in MILLSTREAM_URL.",
        ) from error


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return done.stdout.strip()


def _told(error: Exception) -> MillstreamError:
    if isinstance(error, MillstreamError):
        return error
    return NotTold(f"the API does not answer: {error}", remedy="See that it runs: millstream up")
