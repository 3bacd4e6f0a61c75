"""The one adapter over google-re2: validity, compiled patterns on bytes, the source of a pattern."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

import re2

MAX_MEMORY_BYTES = 64 << 20
"""Room for one pattern's automaton; RE2 falls back to a slower, still exact, method beyond it."""

Spans = list[tuple[int, int]]


class MatchAt(Protocol):
    """First match of ``text[start:end]`` with the text around as context: [(from, to), group 1, ...], -1 = none."""

    def __call__(self, anchor: object, text: bytes, start: int, end: int, /) -> Spans: ...


UNANCHORED: object = re2._Anchor.UNANCHORED


class Problem(NamedTuple):
    """Why a source is no RE2; ``fragment`` is the part of it at fault, maybe empty."""

    message: str
    fragment: str


def quote(text: str) -> str:
    """RE2 source that matches exactly ``text``."""
    quoted: str = re2.escape(text)
    return quoted


def source_of(pieces: Iterable[tuple[str, bool]]) -> str:
    """RE2 source of a pattern: its pieces (text, is it RE2) in this order on one line, anything between."""
    sources = [text if is_regexp else quote(text) for text, is_regexp in pieces]
    return sources[0] if len(sources) == 1 else ".*?".join(f"(?:{source})" for source in sources)


def _options(*, captures: bool, ascii_text: bool = False) -> re2.Options:
    options = re2.Options()
    if ascii_text:
        options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = not captures
    options.max_mem = MAX_MEMORY_BYTES
    return options


def problem(source: str) -> Problem | None:
    """None when ``source`` is valid RE2."""
    try:
        _compiled(f"(?m){source}", captures=True)
    except re2.error as error:
        raw = error.args[0] if error.args else ""
        message = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
        message = message.replace("(?m)", "", 1)
        return Problem(message, message.partition(": ")[2])
    return None


@lru_cache(maxsize=512)
def _compiled(source: str, *, captures: bool, ascii_text: bool = False) -> "re2._Regexp":
    options = _options(captures=captures, ascii_text=ascii_text)
    return re2.compile(source.encode("utf-8", "surrogatepass"), options)


def matcher(source: str, *, case_sensitive: bool, captures: bool = False) -> MatchAt:
    """Leftmost-first matching on UTF-8 bytes, ``(?m)``, and ``(?i)`` unless ``case_sensitive``.

    Without ``captures`` groups are not reported, which is much faster.
    """
    flags = "(?m)" if case_sensitive else "(?im)"
    compiled = _compiled(flags + source, captures=captures)
    match_at: MatchAt = compiled._regexp.Match
    return match_at


def ascii_matcher(source: str, *, case_sensitive: bool) -> MatchAt | None:
    """The same matcher for texts that are all ASCII; None where the source names other characters.

    Read as Latin-1, s and k have no other cases than in ASCII, so RE2 can look for a literal prefix: three times as fast.
    """
    if not source.isascii():
        return None
    flags = "(?m)" if case_sensitive else "(?im)"
    try:
        match_at: MatchAt = _compiled(flags + source, captures=False, ascii_text=True)._regexp.Match
    except re2.error:
        return None
    return match_at


def groups(source: str) -> int:
    """Number of capture groups."""
    return int(_compiled(f"(?m){source}", captures=True).groups)


class TextRegex:
    """An unanchored RE2 over short texts or bytes: names of repositories, paths."""

    __slots__ = ("_match",)

    def __init__(self, source: str, *, case_sensitive: bool = False) -> None:
        flags = "" if case_sensitive else "(?i)"
        self._match: MatchAt = _compiled(flags + source, captures=False)._regexp.Match

    def matches(self, text: bytes) -> bool:
        return self._match(UNANCHORED, text, 0, len(text))[0][0] >= 0


def either(sources: Iterable[tuple[str, bool]]) -> MatchAt | None:
    """One matcher for "any of these (source, case sensitive)" in ASCII texts; None when they cannot stand together."""
    sources = list(sources)
    if not all(source.isascii() for source, _ in sources):
        return None
    parts = [f"(?{'m' if case_sensitive else 'im'}:{source})" for source, case_sensitive in sources]
    try:
        match_at: MatchAt = _compiled("|".join(parts), captures=False, ascii_text=True)._regexp.Match
    except re2.error:
        return None
    return match_at
