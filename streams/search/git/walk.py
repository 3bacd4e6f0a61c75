"""One pass over a repository's trees: entries into a tally in this thread, blobs read in others."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from streams.search.git.blobs import BlobReader, BlobValues
from streams.search.git.command import Git
from streams.search.git.tally import Tally
from streams.search.git.trees import TreeMissing, differences, listing
from streams.search.plan import QueryPlan

DEFAULT_MAX_FILE_SIZE_BYTES = 2 << 20


class SearchLimits(NamedTuple):
    """``large_files``: RE2 on paths that are searched whatever their size."""

    max_file_size_bytes: int = DEFAULT_MAX_FILE_SIZE_BYTES
    large_files: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits: equal where the same files are searched."""
        said = msgspec.json.encode((self.max_file_size_bytes, sorted(set(self.large_files))))
        return hashlib.blake2b(said, digest_size=8).hexdigest()


class Walk:
    """Walks trees in this thread while others read blobs: the newest tree's as soon as its commit is known.

    ``resets``: slots at which the sums begin anew. ``bad``: slots whose tree is not all there.
    """

    def __init__(
        self,
        git: Git,
        plans: Sequence[QueryPlan],
        limits: SearchLimits,
        readers: int,
        deadline: float | None,
    ) -> None:
        self._git = git
        self._limits = limits
        self._readers = readers
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(readers)
        self._reading: list[Future[BlobValues]] = []
        self.tally = Tally(plans, limits.large_files)
        self.resets: set[int] = set()
        self.bad: set[int] = set()

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, commit: str) -> None:
        """Take in the tree of slot 0."""
        self._list(commit, 0)
        # Whether a path is exempt from the limit of size can decide a blob's reading only when all paths are known.
        if not self._limits.large_files:
            self._read()

    def go_on(self, commits: Sequence[str]) -> None:
        """Take in all other trees; a tree that is not all there costs its own slot only."""
        base = 0
        while base < len(commits):
            if base not in self.resets:
                self._list(commits[base], base)
            if base in self.bad:
                base += 1
                continue
            try:
                self.tally.add(differences(self._git, commits[base:]), base)
                break
            except TreeMissing as missing:
                base += missing.slot
                # That tree may be whole where only the way to it is not.
        self._read()

    def difference(self, base: str, commit: str) -> int:
        """Take in what ``commit`` has more (+1) and less (-1) than ``base``, as slot 1; -> how many entries.

        Both have to be here. Raises TreeMissing.
        """
        entries = list(differences(self._git, (base, commit)))
        self.tally.add(entries)
        self._read()
        return len(entries)

    def shares(self) -> list[BlobValues]:
        """Wait for all that is being read."""
        return [reading.result() for reading in self._reading]

    def _list(self, commit: str, slot: int) -> None:
        self.resets.add(slot)
        try:
            self.tally.add(listing(self._git, commit), slot)
        except TreeMissing:
            self.bad.add(slot)

    def _read(self) -> None:
        for share in self.tally.take_requests(self._readers):
            reader = BlobReader(
                self._git,
                self.tally.expressions,
                max_size_bytes=self._limits.max_file_size_bytes,
                deadline=self._deadline,
            )
            self._reading.append(self._pool.submit(reader.read, share))
