"""Many blobs in one buffer: find fast which of them can match at all, then count those exactly, one by one.

Blobs lie in the buffer as git prints them, each after a header line and before a newline. A match inside a blob is a
match in the buffer too (line anchors and word boundaries see a newline on both sides, as at the ends of a text), so
what the buffer search passes over cannot match. That holds for blobs that are all ASCII; the few others are counted
each on its own, and so is everything when a pattern can see the ends of a text.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from streams.search import regex
from streams.search.expressions import Expression, Term, terms_of
from streams.search.matcher import Text, compiled, file_captures, file_value

_SEES_TEXT_ENDS = re.compile(r"\\[AzZ]|\(\?[a-zA-Z]*-")
_WARM_UP_BLOBS = 400
_FEWEST_FOR_GATE = 6
_GATED_BLOBS = 0.3
"""One search for many patterns costs as much as three for one, and each blob it stops at is counted for all of them:
it pays for six and more that together occur in few blobs."""


class Slice(NamedTuple):
    """Where a blob lies in the buffer; ``wanted`` is a bit mask of expressions."""

    start: int
    end: int
    wanted: int


class Values(NamedTuple):
    """What one blob counts: ``counts`` per expression, ``captures`` as (expression, captured value, count)."""

    counts: tuple[int, ...]
    captures: tuple[tuple[int, bytes, int], ...] = ()


class _Scanner(NamedTuple):
    """One search of the buffer on behalf of the expressions in ``mask``; ``term`` is None when it stands for several."""

    match_at: regex.MatchAt
    mask: int
    term: Term | None


class BufferScanner:
    """Values of a list of expressions for many blobs at once. One per thread: it learns which patterns are rare."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self.expressions = tuple(expressions)
        self._all = (1 << len(self.expressions)) - 1
        self._captures = tuple(
            any(term.captures for term in terms_of(expression)) for expression in self.expressions
        )
        self._single = tuple(
            compiled(expression) if isinstance(expression, Term) and not captures else None
            for expression, captures in zip(self.expressions, self._captures, strict=True)
        )
        self._idle = tuple(
            0 if captures else file_value(expression, b"")
            for expression, captures in zip(self.expressions, self._captures, strict=True)
        )
        """What a file counts in which nothing is found: 1 for a pure NOT."""
        masks: dict[Term, int] = {}
        for index, expression in enumerate(self.expressions):
            for term in terms_of(expression):
                masks[term] = masks.get(term, 0) | 1 << index
        self._masks = masks
        self._joined = not any(_SEES_TEXT_ENDS.search(term.source) for term in masks)
        self._scanners = [_Scanner(compiled(term).ascii_match_at, mask, term) for term, mask in masks.items()]
        self._seen = 0
        self._hits = dict.fromkeys(masks, 0)
        self._gated = len(masks) < _FEWEST_FOR_GATE
        self._zeros = (0,) * len(self.expressions)

    def values(self, buffer: bytes, slices: Sequence[Slice]) -> list[Values | None]:
        """For each slice the values of all expressions, None where all are 0; unwanted ones are 0."""
        if not self._joined:
            return [self._one(buffer[item.start : item.end], item.wanted) for item in slices]
        touched = self._touched(buffer, slices)
        all_ascii = buffer.isascii()
        idle = any(self._idle)
        found: list[Values | None] = []
        for item, mask in zip(slices, touched, strict=True):
            if not (all_ascii or buffer[item.start : item.end].isascii()):
                # The search read the buffer as Latin-1: what it passed over here may match all the same.
                found.append(self._one(buffer[item.start : item.end], item.wanted))
            elif mask & item.wanted:
                found.append(self._one(buffer[item.start : item.end], item.wanted, mask))
            elif idle:
                found.append(self._masked(self._idle, item.wanted))
            else:
                found.append(None)
        return found

    def _touched(self, buffer: bytes, slices: Sequence[Slice]) -> list[int]:
        """For each slice the expressions one of whose patterns may occur in it."""
        if not self._gated and self._seen >= _WARM_UP_BLOBS:
            self._build_gate()
        touched = [0] * len(slices)
        for match_at, mask, term in self._scanners:
            hits = _hit_slices(match_at, buffer, slices)
            for index in hits:
                touched[index] |= mask
            if term is not None:
                self._hits[term] += len(hits)
        self._seen += len(slices)
        return touched

    def _build_gate(self) -> None:
        """Patterns that few blobs hold share one search; the others keep their own."""
        self._gated = True
        rare: list[Term] = []
        blobs = 0
        for term in sorted(self._hits, key=lambda term: self._hits[term]):
            blobs += self._hits[term]
            if blobs > _GATED_BLOBS * self._seen:
                break
            rare.append(term)
        if len(rare) < _FEWEST_FOR_GATE:
            return
        gate = regex.either((term.source, term.case_sensitive) for term in rare)
        if gate is None:
            return
        mask = 0
        for term in rare:
            mask |= self._masks[term]
        own = [scanner for scanner in self._scanners if scanner.term not in rare]
        self._scanners = [_Scanner(gate, mask, None), *own]

    def _one(self, blob: bytes, wanted: int, touched: int | None = None) -> Values | None:
        """Exact values of one blob; expressions outside ``touched`` are known to find nothing."""
        text = Text(blob)
        counts = list(self._zeros)
        captures: list[tuple[int, bytes, int]] = []
        for index, expression in enumerate(self.expressions):
            bit = 1 << index
            if not wanted & bit:
                continue
            if touched is not None and not touched & bit:
                counts[index] = self._idle[index]
            elif (term := self._single[index]) is not None:
                counts[index] = term.count_in(text)
            elif self._captures[index]:
                captured = file_captures(expression, text.utf8)
                counts[index] = captured.total()
                captures.extend((index, value, count) for value, count in captured.items())
            else:
                counts[index] = file_value(expression, text.utf8)
        return Values(tuple(counts), tuple(captures)) if any(counts) else None

    def _masked(self, counts: tuple[int, ...], wanted: int) -> Values | None:
        if wanted != self._all:
            counts = tuple(count if wanted >> index & 1 else 0 for index, count in enumerate(counts))
        return Values(counts) if any(counts) else None


def _hit_slices(match_at: regex.MatchAt, buffer: bytes, slices: Sequence[Slice]) -> list[int]:
    """Indexes of the slices in which a match begins; every one that can match is among them."""
    anchor, end = regex.UNANCHORED, len(buffer)
    hits: list[int] = []
    at, index = slices[0].start if slices else end, 0
    while at < end:
        start, stop = match_at(anchor, buffer, at, end)[0]
        if start < 0:
            break
        while index < len(slices) and slices[index].end <= start:
            index += 1
        if index == len(slices):
            break
        if start < slices[index].start:
            at = slices[index].start  # it began in a header line
            continue
        hits.append(index)
        at = slices[index].end
        index += 1
        if stop == start:
            at = max(at, start + 1)
    return hits
