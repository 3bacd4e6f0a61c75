"""Tree entries of the newest sampled commit, then only the differences between neighbours."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO

from streams.search.git.command import Git, Process

_BLOCK_BYTES = 1 << 18


Entry = tuple[int, int, bytes, bytes]
"""(slot, sign, blob, path): a regular file that is there from ``slot`` on (+1), or no longer (-1). Slots go back in time."""


class TreeMissing(Exception):
    """The tree of ``slot`` could not be read whole; nothing after it was read."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"the tree of sampled commit {slot} is not all there")
        self.slot = slot


def listing(git: Git, commit: str) -> Iterator[Entry]:
    """The whole tree of a commit, as slot 0. Raises TreeMissing."""
    with git.start(["ls-tree", "-r", "-z", "--full-tree", commit]) as process:
        for token in _tokens(process):
            # <mode> SP blob SP <oid> TAB <path>
            if token.startswith(b"100"):
                meta, _, path = token.partition(b"\t")
                yield 0, 1, meta[12:], path
        if not process.ended_well():
            raise TreeMissing(0)


def differences(git: Git, commits: Sequence[str]) -> Iterator[Entry]:
    """What changes from each commit to the next, as slots 1, 2, ...: the sum of signs up to a slot is its tree.

    Raises TreeMissing.
    """
    if len(commits) < 2:
        return
    with tempfile.TemporaryFile() as pairs:
        # "commit other" shows commit against other, given in place of its parents.
        pairs.write("".join(f"{older} {newer}\n" for newer, older in pairwise(commits)).encode())
        pairs.seek(0)
        yield from _differences(git, commits, pairs)


def _differences(git: Git, commits: Sequence[str], pairs: IO[bytes]) -> Iterator[Entry]:
    slots = {commit.encode(): slot for slot, commit in enumerate(commits)}
    arguments = ["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff"]
    slot = 0
    with git.start(arguments, pairs) as process:
        tokens = _tokens(process)
        for token in tokens:
            if not token.startswith(b":"):
                slot = slots[token]
                continue
            # :<mode> SP <mode> SP <oid> SP <oid> SP <status>, then the path
            path = next(tokens)
            old_mode, new_mode, old, new, _ = token.split(b" ")
            if old_mode.startswith(b":100"):
                yield slot, -1, old, path
            if new_mode.startswith(b"100"):
                yield slot, 1, new, path
        if not process.ended_well():
            raise TreeMissing(slot + 1)


def _tokens(process: Process) -> Iterator[bytes]:
    rest = b""
    while block := process.stdout.read(_BLOCK_BYTES):
        tokens = (rest + block).split(b"\0")
        rest = tokens.pop()
        yield from tokens
