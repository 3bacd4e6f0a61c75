"""Values of fields: booleans, durations, counts, names. Each raises ValueError with a sentence for people."""

import difflib
import re
from collections.abc import Iterable

from streams.search.query.nodes import ResultType, YesNoOnly
from streams.search.query.pattern_types import PatternType

MAX_TIMEOUT_S = 60.0
_TRUE = frozenset({"yes", "y", "true", "t", "1"})
_FALSE = frozenset({"no", "n", "false", "f", "0"})
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_OTHER_PATTERN_TYPES = frozenset({"keyword", "standard", "structural"})
_OTHER_TYPES = frozenset({"symbol", "commit", "diff"})


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """`` Did you mean x?`` or nothing."""
    close = difflib.get_close_matches(value.lower(), list(choices), n=1, cutoff=0.6)
    return f". Did you mean {close[0]}?" if close else ""


def boolean(value: str) -> bool:
    lowered = value.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"{value!r} is neither yes nor no")


def yes_no_only(value: str) -> YesNoOnly:
    if value.lower() == YesNoOnly.ONLY:
        return YesNoOnly.ONLY
    try:
        return YesNoOnly.YES if boolean(value) else YesNoOnly.NO
    except ValueError:
        raise ValueError(f"{value!r} is none of yes, no, only") from None


def count_limit(value: str) -> int | None:
    """The limit; None for ``all``."""
    if value.lower() == "all":
        return None
    if not (value.isascii() and value.isdigit()) or int(value[:18]) == 0:
        raise ValueError(f"{value!r} is neither a number above 0 nor all")
    return int(value[:18])


def timeout_s(value: str) -> float:
    """Seconds of a duration such as ``10s`` or ``1m30s``; at most a minute."""
    if not _DURATION.fullmatch(value):
        raise ValueError(f"{value!r} is no duration such as 500ms, 10s or 1m")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(value))
    if seconds <= 0 or seconds > MAX_TIMEOUT_S:
        raise ValueError("a timeout is above 0 and at most 1m")
    return seconds


def pattern_type(value: str) -> PatternType:
    lowered = value.lower()
    if lowered in _OTHER_PATTERN_TYPES:
        raise ValueError(f"patternType:{lowered} is not built yet; use literal or regexp")
    try:
        return PatternType(lowered)
    except ValueError:
        hint = did_you_mean(lowered, PatternType)
        raise ValueError(f"{value!r} is no pattern type; use literal or regexp{hint}") from None


def result_type(value: str) -> ResultType:
    lowered = value.lower()
    if lowered in _OTHER_TYPES:
        raise ValueError(f"type:{lowered} is not built yet; use file, path or repo")
    try:
        return ResultType(lowered)
    except ValueError:
        hint = did_you_mean(lowered, [*ResultType, *_OTHER_TYPES])
        raise ValueError(f"{value!r} is no type; use file, path or repo{hint}") from None
