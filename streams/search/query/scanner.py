"""Scanning of words, quoted values, balanced brackets and fields. Works on offsets into one text."""

import re

from streams.search.query.errors import QueryError
from streams.search.query.fields import ALIASES, Field

_FIELD = re.compile(r"(-?)([A-Za-z]+):")
_KEYWORDS_INSIDE = ("and ", "or ", "not ")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_KEPT_ESCAPES = frozenset("abfv")


def skip_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def field_at(text: str, position: int) -> tuple[Field, bool, int] | None:
    """(field, negated, offset after the colon) when a known field name begins here."""
    found = _FIELD.match(text, position)
    if found is None:
        return None
    known = ALIASES.get(found[2].lower())
    return None if known is None else (known, bool(found[1]), found.end())


def unknown_field_at(text: str, position: int) -> str | None:
    """The name of something that looks like a field and is none."""
    found = _FIELD.match(text, position)
    return None if found is None or found[2].lower() in ALIASES else found[2]


def scan_quoted(text: str, position: int) -> tuple[str, int]:
    """A quoted field value with strict escapes -> (value, offset after it). Raises QueryError."""
    delimiter = text[position]
    out: list[str] = []
    at = position + 1
    while at < len(text):
        char = text[at]
        if char == delimiter:
            return "".join(out), at + 1
        if char != "\\":
            out.append(char)
            at += 1
            continue
        escaped = text[at + 1 : at + 2]
        if escaped == delimiter:
            out.append(delimiter)
        elif escaped in _ESCAPES:
            out.append(_ESCAPES[escaped])
        elif escaped and escaped in _KEPT_ESCAPES:
            out.append("\\" + escaped)
        elif escaped:
            raise QueryError(
                f"\\{escaped} is no escape inside quotes; write \\\\ for a backslash",
                text=text,
                position=at,
                length=2,
            )
        at += 2
    raise QueryError(
        f"the quote {delimiter} is never closed", text=text, position=position, length=len(text) - position
    )


def scan_delimited(text: str, position: int) -> tuple[str, int] | None:
    """A delimited pattern with lax escapes (only the delimiter can be escaped); None when not closed."""
    delimiter = text[position]
    out: list[str] = []
    at = position + 1
    while at < len(text):
        char = text[at]
        if char == delimiter:
            return "".join(out), at + 1
        if char == "\\" and at + 1 < len(text):
            out.append(text[at + 1] if text[at + 1] == delimiter else text[at : at + 2])
            at += 2
        else:
            out.append(char)
            at += 1
    return None


def _is_grammar(text: str, position: int) -> bool:
    """A field or an operator begins here, so the brackets around it are a group."""
    return field_at(text, position) is not None or text[position : position + 4].lower().startswith(
        _KEYWORDS_INSIDE
    )


def scan_balanced(text: str, position: int) -> int | None:
    """Offset after a pattern that may hold balanced brackets (and then white space); None when it is a group."""
    if _is_grammar(text, position):
        return None
    depth, at = 0, position
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char.isspace():
            if depth == 0:
                break
            if _is_grammar(text, at + 1):
                return None
        elif char == "(":
            depth += 1
            if _is_grammar(text, at + 1):
                return None
        elif char == ")":
            if depth == 0:
                break
            depth -= 1
        at += 1
    return min(at, len(text)) if depth == 0 else None


def scan_word(text: str, position: int, *, brackets: bool) -> int:
    """Offset after a word: up to white space, and up to a bracket unless ``brackets``."""
    at = position
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char.isspace() or (char in "()" and not brackets):
            break
        at += 1
    return min(at, len(text))
