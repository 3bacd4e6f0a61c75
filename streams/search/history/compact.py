"""The compact form of a diff that people and receivers are shown: matched lines with one line around them. Pure.

A file begins with ``OLD NEW`` (spaces in names escaped), each stretch of its lines with ``@@ -first,lines +first,lines @@``.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import msgspec

from streams.search.history.commits import FileDiff, Hunk
from streams.search.matcher import searchable_text

_CONTEXT_LINES: Final = 1
_UNMATCHED_LINES: Final = 200
"""Of a file that was found without a pattern."""

LineRange = tuple[int, int, int, int]
"""(hunk, line, first, end): offsets into the line behind its sign, in bytes of UTF-8."""


class CompactFile(msgspec.Struct):
    """One file's part of the text, and the ranges in it, in code points."""

    text: str
    ranges: list[tuple[int, int]]


class Compact:
    """Collects files up to ``limit`` code points; a file that does not fit is left out, with a line that says so."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._left_out = 0
        self.ranges: list[tuple[int, int]] = []

    def add(self, file: CompactFile) -> None:
        if self._left_out or self._size + len(file.text) > self._limit:
            self._left_out += 1
            return
        self.ranges += [(self._size + first, self._size + end) for first, end in file.ranges]
        self._parts.append(file.text)
        self._size += len(file.text)

    @property
    def text(self) -> str:
        more = f"... {self._left_out} more files\n" if self._left_out else ""
        return "".join(self._parts) + more


def compact_file(file: FileDiff, ranges: Collection[LineRange]) -> CompactFile:
    """The file's matched lines; without ranges its first changed ones."""
    by_line: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for at_hunk, at_line, first, end in ranges:
        by_line[at_hunk, at_line].append((first, end))
    parts = [f"{_name(file.old)} {_name(file.new)}\n"]
    size, placed = len(parts[0]), list[tuple[int, int]]()
    left = _UNMATCHED_LINES
    for number, hunk in enumerate(file.hunks):
        wanted = {line for at, line in by_line if at == number}
        if not ranges:
            wanted = set(range(min(left, len(hunk.lines))))
            left -= len(wanted)
        for first, end in _stretches(wanted, len(hunk.lines)):
            header = _header(hunk, first, end)
            parts.append(header)
            size += len(header)
            for line in range(first, end):
                shown = _line(hunk.lines[line])
                for start, stop in by_line.get((number, line), ()):
                    text = searchable_text(hunk.lines[line][1:])
                    placed.append((size + 1 + _points(text[:start]), size + 1 + _points(text[:stop])))
                parts.append(shown + "\n")
                size += len(shown) + 1
    return CompactFile("".join(parts), placed)


def _stretches(wanted: Collection[int], count: int) -> list[tuple[int, int]]:
    """Half-open stretches of lines that hold the wanted ones and what stands around them."""
    found: list[tuple[int, int]] = []
    for line in sorted(wanted):
        first, end = max(0, line - _CONTEXT_LINES), min(count, line + 1 + _CONTEXT_LINES)
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return found


def _header(hunk: Hunk, first: int, end: int) -> str:
    before, inside = hunk.lines[:first], hunk.lines[first:end]
    old_start = hunk.old_start + sum(line[:1] in b" -" for line in before)
    new_start = hunk.new_start + sum(line[:1] in b" +" for line in before)
    old = sum(line[:1] in b" -" for line in inside)
    new = sum(line[:1] in b" +" for line in inside)
    section = searchable_text(hunk.section).decode("utf-8", "replace")
    return f"@@ -{old_start},{old} +{new_start},{new} @@{f' {section}' if section else ''}\n"


def _line(line: bytes) -> str:
    sign, text = line[:1], searchable_text(line[1:])
    shown = text.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return sign.decode("ascii", "replace") + shown


def _name(path: bytes) -> str:
    return searchable_text(path).decode("utf-8", "replace").replace(" ", "\\ ").replace("\n", "\\n")


def _points(text: bytes) -> int:
    return len(text.decode("utf-8", "replace"))
