"""``repository.registered`` from a path or a clone URL."""

from pathlib import PurePosixPath

import msgspec

from api.commands.errors import InputRefused
from schemas.events import RepositoryRegistered
from schemas.ids import InvalidRepositoryName, canonical_repository_name, repository_id
from schemas.repositories.events import Name
from streams.repositories.location import CloneRefused, check_clone_url


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
    fields = {
        "repository_id": repository_id(canonical),
        "name": canonical,
        "path": path,
        "clone_url": clone_url,
        "fork": fork,
        "archived": archived,
        "private": private,
    }
    try:
        return msgspec.convert(fields, RepositoryRegistered)
    except msgspec.ValidationError as error:  # what every reader of the event would refuse
        raise InputRefused("path" if path is not None else "cloneUrl", str(error)) from error


def new_name(name: str) -> str:
    """A repository's new canonical name. Raises InputRefused."""
    try:
        return msgspec.convert(canonical_repository_name(name), Name)
    except (InvalidRepositoryName, msgspec.ValidationError) as error:
        raise InputRefused("name", str(error), remedy="Give a name of the form host/path.") from error


def _check_path(path: str) -> None:
    if not PurePosixPath(path).is_absolute() or "\0" in path:
        raise InputRefused(
            "path", f"{path!r} is no absolute path", remedy="Give the path on the machine of the workers."
        )


def _check_clone_url(url: str) -> None:
    """The registrar's own rule, so that nothing is accepted here that it would refuse."""
    try:
        check_clone_url(url)
    except CloneRefused as error:
        raise InputRefused("cloneUrl", str(error), remedy=error.remedy, reason=error.reason) from error
