"""How patterns are read."""

from enum import StrEnum


class PatternType(StrEnum):
    """``literal``: the exact text, quotes and slashes included. ``regexp``: RE2 syntax."""

    LITERAL = "literal"
    REGEXP = "regexp"
