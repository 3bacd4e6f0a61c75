"""Commits and their diffs as git writes them: values, and the parser of ``git log -p``. Pure.

Of a diff one line of context is kept. A merge has no diff of its own, a root is compared with nothing, a renamed file with what it
was called before.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

FORMAT: Final = "%x00%H%x00%an <%ae>%x00%ct%x00%B%x00"
_FIELDS: Final = 4
MAX_COMMIT_BYTES: Final = 32 << 20
"""Of one commit's diff: what is beyond is not searched."""
_HUNK: Final = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$")
_ESCAPE: Final = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_ESCAPED: Final = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b'"': b'"', b"\\": b"\\",
}  # fmt: skip


class Hunk(msgspec.Struct):
    """``lines`` begin with a space, ``+``, ``-`` or a backslash, and have no line feed."""

    old_start: int
    new_start: int
    section: bytes
    lines: list[bytes]


class FileDiff(msgspec.Struct):
    """What a commit did to one file; ``/dev/null`` where there was, or is, none."""

    old: bytes
    new: bytes
    hunks: list[Hunk]

    @property
    def path(self) -> bytes:
        """The file's name now; of a deleted one the one it had."""
        return self.old if self.new == b"/dev/null" else self.new


class Commit(msgspec.Struct):
    """``author`` is "Full Name <mail>"; ``is_cut``: its diff is longer than what is searched."""

    id: str
    author: bytes
    committed_at_s: int
    message: bytes
    files: list[FileDiff]
    is_cut: bool = False


def commits_of(lines: Iterable[bytes]) -> Iterator[Commit]:
    """The commits in the output of ``git log --format=FORMAT``, with ``-p`` or without."""
    header = bytearray()
    commit: Commit | None = None
    diff = _Diff()
    size_bytes = 0
    in_header = False
    for line in lines:
        if not in_header and line[:1] == b"\0":
            if commit is not None:
                yield commit
            header, in_header = bytearray(), True
        if in_header:
            header += line
            if header.count(b"\0") > _FIELDS:
                commit, in_header, size_bytes = _commit(bytes(header)), False, 0
                diff = _Diff(commit.files)
            continue
        if commit is None or commit.is_cut:
            continue
        size_bytes += len(line)
        if size_bytes > MAX_COMMIT_BYTES:
            commit.is_cut = True
            continue
        diff.add(line[:-1] if line.endswith(b"\n") else line)
    if commit is not None:
        yield commit


def _commit(header: bytes) -> Commit:
    _, identity, author, committed_at, message, _ = header.split(b"\0", 5)
    return Commit(
        id=identity.decode("ascii"),
        author=author,
        committed_at_s=int(committed_at or b"0"),
        message=message.rstrip(b"\n"),
        files=[],
    )


class _Diff:
    """Takes the lines of one commit's diff, one after the other."""

    def __init__(self, files: list[FileDiff] | None = None) -> None:
        self._files = files if files is not None else []
        self._hunk: Hunk | None = None
        self._left = (0, 0)

    def add(self, line: bytes) -> None:
        if self._hunk is not None and self._take(self._hunk, line):
            return
        if line.startswith(b"diff --git "):
            old, new = _names(line[len(b"diff --git ") :])
            self._files.append(FileDiff(old, new, []))
            self._hunk = None
            return
        if not self._files:
            return
        current = self._files[-1]
        found = _HUNK.match(line)
        if found is not None:
            old_start, old_lines, new_start, new_lines, section = found.groups()
            self._hunk = Hunk(int(old_start), int(new_start), section, [])
            current.hunks.append(self._hunk)
            self._left = (int(old_lines or b"1"), int(new_lines or b"1"))
        elif line.startswith(b"--- "):
            current.old = _side(line[4:], b"a/")
        elif line.startswith(b"+++ "):
            current.new = _side(line[4:], b"b/")
        elif line.startswith(b"rename from "):
            current.old = _unquoted(line[len(b"rename from ") :])
        elif line.startswith(b"rename to "):
            current.new = _unquoted(line[len(b"rename to ") :])
        elif line.startswith(b"new file mode"):
            current.old = b"/dev/null"
        elif line.startswith(b"deleted file mode"):
            current.new = b"/dev/null"

    def _take(self, hunk: Hunk, line: bytes) -> bool:
        """Whether the line belongs to the hunk: its header says how many there are of each side."""
        old, new = self._left
        kind = line[:1]
        if kind == b"\\":
            hunk.lines.append(line)
            return True
        if old <= 0 and new <= 0:
            return False
        if kind == b"+":
            self._left = (old, new - 1)
        elif kind == b"-":
            self._left = (old - 1, new)
        else:
            self._left = (old - 1, new - 1)
        hunk.lines.append(line or b" ")
        return True


def _names(text: bytes) -> tuple[bytes, bytes]:
    """Of ``a/OLD b/NEW``. Without quotes both are of one length where the name did not change, which is when this is needed:
    everything else is said again below."""
    if text.startswith(b'"'):
        end = text.index(b'"', 1)
        while text[end - 1 : end] == b"\\" and text[end - 2 : end - 1] != b"\\":
            end = text.index(b'"', end + 1)
        return _side(text[: end + 1], b"a/"), _side(text[end + 2 :], b"b/")
    half = (len(text) - 1) // 2
    return _side(text[:half], b"a/"), _side(text[half + 1 :], b"b/")


def _side(text: bytes, prefix: bytes) -> bytes:
    # git ends a name that holds a space with a tab.
    name = _unquoted(text.removesuffix(b"\t"))
    return name if name == b"/dev/null" else name.removeprefix(prefix)


def _unquoted(text: bytes) -> bytes:
    if len(text) < 2 or not text.startswith(b'"') or not text.endswith(b'"'):
        return text
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1]) or bytes([int(found[1], 8) & 0xFF]), text[1:-1])
