"""Tree entries of the newest sampled commit, then only the differences between neighbours."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, NamedTuple

from streams.search.git.command import Git, Process

_BLOCK_BYTES = 1 << 18


class Entry(NamedTuple):
    """A regular file that is there from ``slot`` on (``sign`` +1), or no longer (-1). Slots go back in time."""

    slot: int
    sign: int
    oid: bytes
    path: bytes


class TreeMissing(Exception):
    """The tree of ``slot`` could not be read whole; nothing after it was read."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"the tree of sampled commit {slot} is not all there")
        self.slot = slot


def entries(git: Git, commits: Sequence[str]) -> Iterator[Entry]:
    """Changes from slot to slot; the sum of signs up to a slot is what its tree holds. Raises TreeMissing."""
    if not commits:
        return
    with git.start(["ls-tree", "-r", "-z", "--full-tree", commits[0]]) as listing:
        for token in _tokens(listing):
            # <mode> SP blob SP <oid> TAB <path>
            if token.startswith(b"100"):
                meta, _, path = token.partition(b"\t")
                yield Entry(0, 1, meta[12:], path)
        if not listing.ended_well():
            raise TreeMissing(0)
    if len(commits) > 1:
        with tempfile.TemporaryFile() as pairs:
            # "commit other" shows commit against other, given in place of its parents.
            lines = (f"{older} {newer}\n" for newer, older in pairwise(commits))
            pairs.write("".join(lines).encode())
            pairs.seek(0)
            yield from _differences(git, commits, pairs)


def _differences(git: Git, commits: Sequence[str], pairs: IO[bytes]) -> Iterator[Entry]:
    slots = {commit.encode(): slot for slot, commit in enumerate(commits)}
    arguments = ["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff"]
    slot = 0
    with git.start(arguments, pairs) as differences:
        tokens = _tokens(differences)
        for token in tokens:
            if not token.startswith(b":"):
                slot = slots[token]
                continue
            # :<mode> SP <mode> SP <oid> SP <oid> SP <status>, then the path
            path = next(tokens)
            old_mode, new_mode, old, new, _ = token.split(b" ")
            if old_mode.startswith(b":100"):
                yield Entry(slot, -1, old, path)
            if new_mode.startswith(b"100"):
                yield Entry(slot, 1, new, path)
        if not differences.ended_well():
            raise TreeMissing(slot + 1)


def _tokens(process: Process) -> Iterator[bytes]:
    rest = b""
    while block := process.stdout.read(_BLOCK_BYTES):
        tokens = (rest + block).split(b"\0")
        rest = tokens.pop()
        yield from tokens
