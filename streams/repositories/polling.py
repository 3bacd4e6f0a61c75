"""When the refs of which repository are looked at. Pure; and a glance at the files that change when refs do."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from streams.repositories.places import Place

_SETTLED_NS: Final = 2_000_000_000
"""A file system may give two changes one time: what changed just now is looked at again."""
_MOST_FOLDERS: Final = 2_000


def spread(repository_id: int) -> float:
    """A number in [0, 1) that is the repository's own: ids are hashes already, but not everybody's."""
    digest = hashlib.blake2b(str(repository_id).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def is_due(repository_id: int, *, since_s: float, until_s: float, interval_s: float) -> bool:
    """Whether one of the repository's moments, every ``interval_s``, lies in (since, until]."""
    shift_s = spread(repository_id) * interval_s
    return (until_s - shift_s) // interval_s > (since_s - shift_s) // interval_s


def due(places: Iterable[Place], *, since_s: float, until_s: float, interval_s: float) -> list[Place]:
    """Those of ``places`` that are due, each once, however long ago ``since_s`` is. None with an interval of 0."""
    if interval_s <= 0:
        return []
    return [
        place
        for place in places
        if is_due(place.repository_id, since_s=since_s, until_s=until_s, interval_s=interval_s)
    ]


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
