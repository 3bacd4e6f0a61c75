"""An oracle for matcher v1: Python's ``re`` over every tree entry, nothing shared with the engine but the rules."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from tests.support.repositories import git

MAX_FILE_SIZE_BYTES = 2 << 20


def commit_at(repository: Path, branch: str, instant: datetime) -> str | None:
    """What git itself says that the branch was at this instant."""
    found = git(
        repository, "rev-list", "-1", "--first-parent", f"--min-age={int(instant.timestamp())}", branch
    )
    return found.decode().strip() or None


def entries(repository: Path, commit: str) -> list[tuple[bytes, str]]:
    """(path, blob id) of every regular file."""
    listed = git(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    found = []
    for line in listed.split(b"\0"):
        meta, _, path = line.partition(b"\t")
        if meta.startswith(b"100"):
            found.append((path, meta.split()[2].decode()))
    return found


def blobs(repository: Path, oids: Collection[str]) -> dict[str, bytes]:
    """Contents by id."""
    stream = git(repository, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())
    found, at = {}, 0
    while at < len(stream):
        line_end = stream.index(b"\n", at)
        oid, kind, size = stream[at:line_end].decode().split()
        assert kind == "blob"
        start = line_end + 1
        found[oid] = stream[start : start + int(size)]
        at = start + int(size) + 1
    return found


def text_of(blob: bytes) -> str | None:
    """None for what is not searched."""
    if len(blob) > MAX_FILE_SIZE_BYTES or b"\0" in blob[:8000]:
        return None
    try:
        return blob.decode("utf-8")
    except UnicodeDecodeError:
        return blob.decode("latin-1")


def occurrences(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Non-overlapping, leftmost-first, zero-width ones passed over by one code point."""
    found, at = [], 0
    while at <= len(text):
        match = pattern.search(text, at)
        if match is None:
            break
        if match.end() > match.start():
            found.append(match.span())
            at = match.end()
        else:
            at = match.end() + 1
    return found


def compiled(source: str, *, case_sensitive: bool = False) -> re.Pattern[str]:
    return re.compile(source, re.MULTILINE | (0 if case_sensitive else re.IGNORECASE))


def count_at(
    repository: Path, commit: str | None, value_of: Callable[[bytes, str], int], cache: dict[str, bytes]
) -> int:
    """Sum over all searchable files of ``value_of(path, text)``."""
    if commit is None:
        return 0
    total = 0
    listed = entries(repository, commit)
    cache.update(blobs(repository, {oid for _, oid in listed} - cache.keys()))
    for path, oid in listed:
        text = text_of(cache[oid])
        if text is not None:
            total += value_of(path, text)
    return total
