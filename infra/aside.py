"""Blobs on their way out: set aside first, removed later. What is needed again in between is still there.

Whoever puts bytes that the store has writes nothing, and names them in an event only afterwards. So a blob that nobody names cannot
just be removed: it is moved to ``aside/<sha256>/<milliseconds>``, where readers still find it, and brought back if it is named after all.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any, Final

from infra.blobs import ASIDE, BlobStore

_MS: Final = 1000


class Aside:
    """What is set aside of one store. Processes may do the same at once."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        filesystem, root = blobs.beside()
        self._filesystem: Any = filesystem
        self._root = f"{root}/{ASIDE}"

    def all(self) -> dict[str, datetime]:
        """SHA-256 of everything that is set aside, and since when: the last time."""
        found: dict[str, datetime] = {}
        for path in self._files(self._root):
            digest = _name(path.rpartition("/")[0])
            at = datetime.fromtimestamp(int(_name(path)) / _MS, UTC)
            found[digest] = max(at, found.get(digest, at))
        return found

    def set(self, sha256: str, at: datetime) -> None:
        """Set it aside, where it is there."""
        folder = f"{self._root}/{sha256}"
        self._filesystem.makedirs(folder, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.mv(self._blobs.path_of(sha256), f"{folder}/{int(at.timestamp() * _MS)}")

    def bring_back(self, sha256: str) -> None:
        """It is needed: where it was put again meanwhile, the same bytes take their own place."""
        for path in self._files(f"{self._root}/{sha256}"):
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.makedirs(self._blobs.path_of(sha256).rpartition("/")[0], exist_ok=True)
                self._filesystem.mv(path, self._blobs.path_of(sha256))
        self._tidy(sha256)

    def remove(self, sha256: str, before: datetime) -> None:
        """For ever, what was set aside until ``before``."""
        for path in self._files(f"{self._root}/{sha256}"):
            if int(_name(path)) <= int(before.timestamp() * _MS):
                with contextlib.suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
        self._tidy(sha256)

    def _files(self, folder: str) -> list[str]:
        self._filesystem.invalidate_cache()
        try:
            found = [str(one) for one in self._filesystem.find(folder)]
        except FileNotFoundError:
            return []
        return [one for one in found if _name(one).isascii() and _name(one).isdigit()]

    def _tidy(self, sha256: str) -> None:
        """The empty folder, where the store knows folders."""
        with contextlib.suppress(OSError, NotImplementedError):
            self._filesystem.rmdir(f"{self._root}/{sha256}")


def _name(path: str) -> str:
    return path.rpartition("/")[2]
