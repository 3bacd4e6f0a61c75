"""Matcher v1: what one file counts (DESIGN section 8, rules 2 to 7). Exact, one blob at a time."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from streams.search import regex
from streams.search.expressions import AllOf, AnyOf, Constant, Expression, NoneOf, Term

MATCHER_VERSION = 1
"""Changes whenever a count could: with the rules, the tables of languages, or the semantics of the regex library."""

BINARY_PREFIX_BYTES = 8_000
MAX_CAPTURE_BYTES = 100


class Range(NamedTuple):
    """One occurrence, in bytes; ``capture`` is the text of group 1 where it is wanted."""

    start: int
    end: int
    capture: bytes | None = None


class FileMatch(NamedTuple):
    """``satisfied``: the file matches the expression; ``ranges`` of its positive operands, not merged yet."""

    satisfied: bool
    ranges: tuple[Range, ...]


_NO_MATCH = FileMatch(False, ())


def is_binary(blob: bytes) -> bool:
    """A NUL among the first 8,000 bytes."""
    return blob.find(b"\0", 0, BINARY_PREFIX_BYTES) >= 0


def searchable_text(blob: bytes) -> bytes:
    """UTF-8 of the blob's text: its own bytes where they are valid UTF-8, else read as Latin-1."""
    if blob.isascii():
        return blob
    try:
        blob.decode()
    except UnicodeDecodeError:
        return blob.decode("latin-1").encode()
    return blob


class Text:
    """One blob to be asked for several patterns. ``utf8`` is its searchable text."""

    __slots__ = ("_lowered", "is_ascii", "utf8")

    def __init__(self, blob: bytes) -> None:
        self.is_ascii = blob.isascii()
        self.utf8 = blob if self.is_ascii else searchable_text(blob)
        self._lowered: bytes | None = None

    @property
    def lowered(self) -> bytes:
        """In lower case, where it is all ASCII; made once."""
        if self._lowered is None:
            self._lowered = self.utf8.lower()
        return self._lowered


class CompiledTerm:
    """A term over UTF-8 bytes. Thread-safe."""

    __slots__ = ("_captures", "_folded", "_literal", "ascii_match_at", "match_at", "term")

    def __init__(self, term: Term) -> None:
        self.term = term
        self.match_at = regex.matcher(term.source, case_sensitive=term.case_sensitive, captures=term.captures)
        self.ascii_match_at = (
            regex.ascii_matcher(term.source, case_sensitive=term.case_sensitive) or self.match_at
        )
        """For texts that are all ASCII."""
        self._captures = term.captures
        literal = None if term.literal is None else term.literal.encode("utf-8", "surrogatepass")
        self._literal = literal if term.case_sensitive else None
        # Lower case in ASCII is exact only where neither side holds anything else.
        folds = literal is not None and literal.isascii() and not term.case_sensitive
        self._folded = literal.lower() if literal is not None and folds else None

    def count(self, text: bytes) -> int:
        """Non-overlapping leftmost-first occurrences in a searchable text; zero-width ones do not count."""
        return self.count_in(Text(text))

    def count_in(self, text: Text) -> int:
        """The same for a text that is asked for several patterns."""
        if self._literal:
            return text.utf8.count(self._literal)
        if self._folded and text.is_ascii:
            return text.lowered.count(self._folded)
        return self._count_by_regex(text.utf8, text.is_ascii)

    def may_match(self, text: Text) -> bool:
        """Whether it occurs at all; a zero-width occurrence counts here."""
        if self._literal:
            return self._literal in text.utf8
        if self._folded and text.is_ascii:
            return self._folded in text.lowered
        match_at = self.ascii_match_at if text.is_ascii else self.match_at
        return match_at(regex.UNANCHORED, text.utf8, 0, len(text.utf8))[0][0] >= 0

    def _count_by_regex(self, text: bytes, is_ascii: bool) -> int:
        match_at = self.ascii_match_at if is_ascii else self.match_at
        anchor = regex.UNANCHORED
        count, at, end = 0, 0, len(text)
        while at <= end:
            start, at_next = match_at(anchor, text, at, end)[0]
            if start < 0:
                break
            if at_next > start:
                count += 1
                at = at_next
            else:
                at = _next_code_point(text, at_next)
        return count

    def ranges(self, text: bytes) -> tuple[Range, ...]:
        """The occurrences that ``count`` counts."""
        found: list[Range] = []
        at, end = 0, len(text)
        while at <= end:
            spans = self.match_at(regex.UNANCHORED, text, at, end)
            start, stop = spans[0]
            if start < 0:
                break
            if stop > start:
                capture = None
                if self._captures:
                    first, last = spans[1]
                    capture = text[first:last] if first >= 0 else None
                found.append(Range(start, stop, capture))
                at = stop
            else:
                at = _next_code_point(text, stop)
        return tuple(found)


def _next_code_point(text: bytes, at: int) -> int:
    at += 1
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


@lru_cache(maxsize=1024)
def compiled(term: Term) -> CompiledTerm:
    return CompiledTerm(term)


def file_match(expression: Expression, text: bytes) -> FileMatch:
    """AND, OR and NOT over one file; an operand that does not hold gives no ranges."""
    match expression:
        case Term():
            ranges = compiled(expression).ranges(text)
            return FileMatch(bool(ranges), ranges)
        case NoneOf():
            return FileMatch(not compiled(expression.term).count(text), ())
        case Constant():
            return FileMatch(expression.value, ())
        case AllOf():
            gathered: list[Range] = []
            for operand in expression.operands:
                part = file_match(operand, text)
                if not part.satisfied:
                    return _NO_MATCH
                gathered.extend(part.ranges)
            return FileMatch(True, tuple(gathered))
        case AnyOf():
            parts = [file_match(operand, text) for operand in expression.operands]
            return FileMatch(
                any(part.satisfied for part in parts), tuple(r for part in parts for r in part.ranges)
            )


def merged(ranges: tuple[Range, ...]) -> list[Range]:
    """Sorted by start then longest first; one that starts before the kept one's end is dropped."""
    kept: list[Range] = []
    end = -1
    for item in sorted(ranges, key=lambda item: (item.start, -item.end)):
        if item.start >= end:
            kept.append(item)
            end = item.end
    return kept


def file_value(expression: Expression, text: bytes) -> int:
    """What the file counts; satisfied without a range counts 1. ``text`` comes from ``searchable_text``."""
    if isinstance(expression, Term):
        return compiled(expression).count(text)
    found = file_match(expression, text)
    if not found.satisfied:
        return 0
    return len(merged(found.ranges)) if found.ranges else 1


def file_captures(expression: Expression, text: bytes) -> Counter[bytes]:
    """How often each captured value occurs; values are cut to 100 bytes at a code point, empty ones dropped."""
    found = file_match(expression, text)
    counts: Counter[bytes] = Counter()
    if found.satisfied:
        for item in merged(found.ranges):
            if item.capture:
                counts[_cut(item.capture)] += 1
    return counts


def _cut(value: bytes) -> bytes:
    if len(value) <= MAX_CAPTURE_BYTES:
        return value
    end = MAX_CAPTURE_BYTES
    while end > 0 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]
