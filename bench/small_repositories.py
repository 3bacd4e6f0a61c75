"""Thousands of small bare repositories, written object by object: starting git for each would take minutes.

Each has three commits, a year, half a year and a week before now, and some files in which ``WORD`` occurs a known
number of times.
"""

import hashlib
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

WORD: Final = "legacy_client"
_AGES: Final = (timedelta(days=365), timedelta(days=180), timedelta(days=7))
_FILES: Final = 5
_CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


def small_repositories(folder: Path, number: int, now: datetime) -> list[Path]:
    """``number`` bare repositories below ``folder``; repository i has ``occurrences(i, c)`` in commit c."""
    return [
        _write(folder / f"{place // 1000:03}" / f"r{place:05}.git", place, now) for place in range(number)
    ]


def occurrences(place: int, commit: int) -> int:
    """How often WORD occurs in the tree of commit 0, 1 or 2 of a repository."""
    return sum(_in_file(place, commit, file) for file in range(_FILES))


def _in_file(place: int, commit: int, file: int) -> int:
    return (place + file * 3 + (commit if file == 0 else 0)) % 4


def _write(path: Path, place: int, now: datetime) -> Path:
    (path / "refs" / "heads").mkdir(parents=True)
    (path / "objects").mkdir()
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    (path / "config").write_text(_CONFIG)
    parent = ""
    for commit, age in enumerate(_AGES):
        blobs = {
            f"module_{file}.py": _object(path, b"blob", _content(place, commit, file))
            for file in range(_FILES)
        }
        tree = _object(path, b"tree", _tree(blobs))
        stamp = f"bench <bench@bench.example> {int((now - age).timestamp())} +0000"
        lines = [f"tree {tree}"] + ([f"parent {parent}"] if parent else [])
        text = "\n".join([*lines, f"author {stamp}", f"committer {stamp}", "", f"commit {commit}", ""])
        parent = _object(path, b"commit", text.encode())
    (path / "refs" / "heads" / "main").write_text(parent + "\n")
    return path


def _content(place: int, commit: int, file: int) -> bytes:
    calls = [f"result_{line} = {WORD}.call({line})" for line in range(_in_file(place, commit, file))]
    rest = [f"value_{line} = compute({place}, {file}, {line})" for line in range(30)]
    return ("\n".join([f"# repository {place}, module {file}", *calls, *rest]) + "\n").encode()


def _tree(blobs: Mapping[str, str]) -> bytes:
    return b"".join(
        b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob) for name, blob in sorted(blobs.items())
    )


def _object(path: Path, kind: bytes, content: bytes) -> str:
    data = kind + b" " + str(len(content)).encode() + b"\0" + content
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    folder = path / "objects" / digest[:2]
    folder.mkdir(exist_ok=True)
    file = folder / digest[2:]
    if not file.exists():
        file.write_bytes(zlib.compress(data, 1))
    return digest
