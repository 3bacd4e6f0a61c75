"""The clones on this machine, shared by the registrar and the query runner: one at a time works on each."""

import asyncio
from collections import defaultdict
from pathlib import Path

from streams.repositories.location import clone_path
from streams.repositories.mirror import ClonePolicy, ensure_mirror
from streams.threads import on_thread


class Clones:
    """For one event loop. ``home`` holds the mirrors."""

    def __init__(self, home: Path, policy: ClonePolicy) -> None:
        self.home = home
        self.policy = policy
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, repository_id: int) -> asyncio.Lock:
        """Held while the clone is made or fetched."""
        return self._locks[repository_id]

    async def ready(self, repository_id: int, path: str | None, clone_url: str | None) -> Path:
        """The folder to count in. A mirror that is not here (its partition has moved) is made now.

        Raises CloneRefused.
        """
        folder = clone_path(self.home, repository_id, path)
        if path is not None or clone_url is None or folder.is_dir():
            return folder
        async with self.lock(repository_id):
            return await on_thread(
                lambda interrupt: ensure_mirror(self.home, repository_id, clone_url, self.policy, interrupt)
            )
