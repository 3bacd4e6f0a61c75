"""The clones on this machine, shared by the registrar and the query runner: one at a time works on each."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from streams.repositories.location import clone_path
from streams.repositories.mirror import ClonePolicy, ensure_mirror, fetch_mirror
from streams.search.engine import has_commit
from streams.threads import Interrupt, on_thread


class Clones:
    """For one event loop. ``home`` holds the mirrors."""

    def __init__(self, home: Path, policy: ClonePolicy) -> None:
        self.home = home
        self.policy = policy
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, repository_id: int) -> asyncio.Lock:
        """Held while the clone is made or fetched."""
        return self._locks[repository_id]

    async def ready(
        self, repository_id: int, path: str | None, clone_url: str | None, commits: Collection[str] = ()
    ) -> Path:
        """The folder to count in. A mirror that is not here (its partition has moved) is made now, and one that
        lacks any of ``commits`` is fetched.

        Raises CloneRefused.
        """
        folder = clone_path(self.home, repository_id, path)
        if path is not None or clone_url is None:
            return folder
        if folder.is_dir() and await asyncio.to_thread(_has_all, folder, commits):
            return folder
        async with self.lock(repository_id):
            return await on_thread(
                lambda interrupt: self._up_to_date(repository_id, clone_url, commits, interrupt)
            )

    def _up_to_date(
        self, repository_id: int, clone_url: str, commits: Collection[str], interrupt: Interrupt
    ) -> Path:
        mirror = ensure_mirror(self.home, repository_id, clone_url, self.policy, interrupt)
        if not _has_all(mirror, commits):
            fetch_mirror(mirror, clone_url, self.policy, interrupt)
        return mirror


def _has_all(repository: Path, commits: Collection[str]) -> bool:
    return all(has_commit(repository, commit) for commit in commits)
