"""A glance at the files that change when refs do: what it finds unmoved needs no git command."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

_SETTLED_NS: Final = 2_000_000_000
"""A file system may give two changes one time: what changed just now is looked at again."""
_MOST_FOLDERS: Final = 2_000


class Glance(msgspec.Struct, frozen=True):
    """Times of the files in which git keeps refs: equal ones mean that nothing has moved."""

    times: tuple[tuple[str, int, int], ...]


def glance(repository: Path, now_ns: int) -> Glance | None:
    """What the files of refs look like; None where that proves nothing.

    Git moves a ref by renaming a file: its folder's time changes. Packed refs and HEAD are files of their own. Where
    something changed within the last two seconds, where refs are kept otherwise (reftable, a linked work tree), or
    where they are very many, only git knows. Raises OSError.
    """
    folder = repository / ".git"
    if not folder.is_dir():
        if folder.exists():
            return None
        folder = repository
    refs = folder / "refs"
    if not refs.is_dir() or (folder / "reftable").exists() or (folder / "commondir").exists():
        return None
    found: list[tuple[str, int, int]] = []
    for path in (folder / "HEAD", folder / "packed-refs", *_folders(refs)):
        try:
            seen = path.stat()
        except FileNotFoundError:
            continue
        if now_ns - seen.st_mtime_ns < _SETTLED_NS:
            return None
        found.append((str(path), seen.st_mtime_ns, seen.st_ino))
        if len(found) > _MOST_FOLDERS:
            return None
    return Glance(tuple(sorted(found)))


def _folders(top: Path) -> Iterator[Path]:
    """``top`` and every folder below it."""
    for folder, _, _ in os.walk(top):
        yield Path(folder)
