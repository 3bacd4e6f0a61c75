"""``repository.registered`` from a path or a clone URL."""

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import msgspec

from api.graphql.errors import InputRefused
from schemas.events import RepositoryRegistered
from schemas.ids import InvalidRepositoryName, canonical_repository_name, repository_id
from schemas.repositories.events import Name

_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "file"})
_SCP_LIKE: Final = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!/)[^\s]+")


def registration(
    *,
    name: str | None,
    path: str | None,
    clone_url: str | None,
    fork: bool = False,
    archived: bool = False,
    private: bool = False,
) -> RepositoryRegistered:
    """The event's payload. Raises InputRefused, with the argument at fault."""
    if (path is None) == (clone_url is None):
        raise InputRefused("path", "exactly one of path and cloneUrl is needed")
    if path is not None:
        _check_path(path)
    if clone_url is not None:
        _check_clone_url(clone_url)
    where = "name" if name is not None else "path" if path is not None else "cloneUrl"
    try:
        canonical = canonical_repository_name(name or path or clone_url or "")
        msgspec.convert(canonical, Name)
    except (InvalidRepositoryName, msgspec.ValidationError) as error:
        raise InputRefused(where, str(error), remedy="Give a name of the form host/path.") from error
    return RepositoryRegistered(
        repository_id=repository_id(canonical),
        name=canonical,
        path=path,
        clone_url=clone_url,
        fork=fork,
        archived=archived,
        private=private,
    )


def _check_path(path: str) -> None:
    if not PurePosixPath(path).is_absolute() or "\0" in path:
        raise InputRefused(
            "path", f"{path!r} is no absolute path", remedy="Give the path on the machine of the workers."
        )


def _check_clone_url(url: str) -> None:
    """Only what git fetches without running programs of the caller's choice, and nothing secret in it."""
    if url.startswith("-") or any(character.isspace() for character in url):
        raise InputRefused("cloneUrl", f"{url!r} is no clone URL")
    if "://" not in url:
        if not _SCP_LIKE.fullmatch(url) or "::" in url:
            raise InputRefused(
                "cloneUrl", f"{url!r} is no clone URL", remedy="https://host/path.git or git@host:path.git"
            )
        return
    try:
        parts = urlsplit(url)
        password, user = parts.password, parts.username
    except ValueError as error:
        raise InputRefused("cloneUrl", f"{url!r} is no clone URL: {error}") from error
    if parts.scheme not in _SCHEMES:
        raise InputRefused(
            "cloneUrl",
            f"the scheme {parts.scheme!r} is not fetched",
            remedy="One of " + ", ".join(sorted(_SCHEMES)) + ".",
        )
    if password is not None or (user is not None and parts.scheme in ("http", "https")):
        raise InputRefused(
            "cloneUrl", "the URL holds credentials, and would keep them for ever on the log",
            remedy="Leave them out; let git on the workers' machine find them (credential helper, ssh agent).",
        )  # fmt: skip
