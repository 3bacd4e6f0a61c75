"""Sets of grid indexes as sorted, disjoint, half-open ranges: the Python twin of int4multirange."""

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]


def normalised(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and merged; touching ranges become one, empty ones vanish."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def of_indexes(indexes: Iterable[int]) -> Ranges:
    """The ranges that hold exactly ``indexes``."""
    return normalised((index, index + 1) for index in indexes)


def indexes(ranges: Iterable[tuple[int, int]]) -> Iterable[int]:
    """Every index held by ``ranges``, range by range."""
    return (index for start, end in ranges for index in range(start, end))


def size(ranges: Iterable[tuple[int, int]]) -> int:
    """How many indexes disjoint ``ranges`` hold."""
    return sum(end - start for start, end in ranges)


def literal(ranges: Iterable[tuple[int, int]]) -> str:
    """As Postgres reads a multirange."""
    return "{" + ",".join(f"[{start},{end})" for start, end in ranges) + "}"


def parse(text: str) -> Ranges:
    """What Postgres prints for an int4multirange (always canonical: half-open, sorted, disjoint)."""
    body = text[1:-1]
    if not body:
        return ()
    pairs = body[1:-1].split("),[")
    return tuple((int(start), int(end)) for start, end in (pair.split(",") for pair in pairs))
