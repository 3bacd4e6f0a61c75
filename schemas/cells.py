"""Rules between the fields of a result that JSON Schema cannot say.

They run while a payload is decoded; a ValueError becomes part of the decoding error, with the field's path.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from schemas.grid import Interval, TimeUnit
from schemas.limits import LAST_YEAR, FieldError

MAX_CELLS: Final = 100_000
"""Cells that one series may have in one event: far above any request, far below what exhausts memory."""

MAX_INDEX: Final = 1 << 62
_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(LAST_YEAR, 12, 31, 23, 59, 59, tzinfo=UTC)
_COMMIT_LENGTHS: Final = frozenset((0, 40, 64))


class Cell(Protocol):
    """An incomplete cell, as far as these rules look at it."""

    @property
    def index(self) -> int: ...


class ReferringCell(Protocol):
    """An incomplete cell, as far as its commit goes."""

    @property
    def commit_ref(self) -> int | None: ...


class Referring(Protocol):
    """A series' result, as far as its commits go."""

    @property
    def commit_refs(self) -> Sequence[int]: ...
    @property
    def incomplete(self) -> Sequence[ReferringCell]: ...


class Result(Protocol):
    """A series' result, as far as these rules look at it."""

    @property
    def unit(self) -> TimeUnit: ...
    @property
    def value(self) -> int: ...
    @property
    def covered(self) -> Sequence[tuple[int, int]]: ...
    @property
    def indexes(self) -> Sequence[int]: ...
    @property
    def values(self) -> Sequence[int]: ...
    @property
    def captures(self) -> Sequence[str] | None: ...
    @property
    def incomplete(self) -> Sequence[Cell]: ...


def check_frames(unit: TimeUnit, value: int, frames: Iterable[tuple[int, int]]) -> None:
    """Ranges are not reversed, not absurdly long, and their instants exist. Raises ValueError."""
    cells = 0
    for start, end in frames:
        if start > end:
            raise ValueError(f"the range [{start}, {end}) is reversed")
        cells += end - start
        _check_instants(unit, value, start, max(start, end - 1))
    if cells > MAX_CELLS:
        raise ValueError(f"{cells:,} cells are more than the {MAX_CELLS:,} that one series may have")


def check_series_result(result: Result) -> None:
    """Parallel lists are parallel, every count lies in a covered cell, no cell is said twice. Raises ValueError."""
    if not _is_plainly_right(result):
        _check_series_result(result)


def _is_plainly_right(result: Result) -> bool:
    """Of one range without captured values, as nearly all are: the same rules, cheaply. False: look closer."""
    covered, indexes = result.covered, result.indexes
    if len(covered) != 1 or result.captures is not None or result.incomplete:
        return False
    start, end = covered[0]
    lowest, highest = _index_limits(result.unit, result.value)
    entries = len(indexes)
    return (
        lowest <= start < end <= highest
        and end - start <= MAX_CELLS
        and len(result.values) == entries
        and (not entries or (start <= min(indexes) and max(indexes) < end and len(set(indexes)) == entries))
    )


def _check_series_result(result: Result) -> None:
    check_frames(result.unit, result.value, result.covered)
    entries = len(result.indexes)
    if len(result.values) != entries:
        raise ValueError(f"{len(result.values)} values for {entries} indexes")
    if result.captures is not None:
        if len(result.captures) != entries:
            raise ValueError(f"{len(result.captures)} captures for {entries} indexes")
        if len(set(zip(result.indexes, result.captures, strict=True))) != entries:
            raise ValueError("a captured value stands twice under one index")
    elif len(set(result.indexes)) != entries:
        raise ValueError("an index stands twice")
    if entries:
        _check_covered(result)
    if result.incomplete:
        _check_incomplete(result)


def check_parallel(field: str, entries: int, result: Result) -> None:
    """A list beside ``indexes`` has an entry for each of them. Raises FieldError."""
    if entries != len(result.indexes):
        raise FieldError(field, f"{entries} {field} for {len(result.indexes)} indexes")


def check_refs(commits: int, results: Iterable[Referring]) -> None:
    """No reference points beyond a table of ``commits`` entries; none is negative by its type. Raises FieldError."""
    for result in results:
        refs = result.commit_refs
        if refs and max(refs) >= commits:
            raise FieldError("series", f"a commit_ref points beyond the {commits} commits of the event")
        if result.incomplete and any(
            cell.commit_ref is not None and cell.commit_ref >= commits for cell in result.incomplete
        ):
            raise FieldError("series", f"a commit_ref points beyond the {commits} commits of the event")


def check_commits(commits: Sequence[str]) -> None:
    """Each is a full object id or empty: lengths and letters of all at once, ten times as fast as one by one.

    Raises FieldError.
    """
    digits = "".join(commits)
    try:
        plain = bytes.fromhex(digits).hex() == digits  # neither blanks nor capitals
    except ValueError:
        plain = False
    if not plain or not _COMMIT_LENGTHS.issuperset(map(len, commits)):
        raise FieldError("commits", "a commit has to be a full object id in lower-case hex digits, or empty")


def _check_covered(result: Result) -> None:
    ranges = sorted(result.covered)
    for index in result.indexes:
        if not _holds(ranges, index):
            raise ValueError(f"the index {index} has a value but is not covered")


def _check_incomplete(result: Result) -> None:
    cells = {cell.index for cell in result.incomplete}
    if len(cells) != len(result.incomplete):
        raise ValueError("an incomplete cell stands twice")
    ranges = sorted(result.covered)
    for index in cells:
        if _holds(ranges, index):
            raise ValueError(f"the index {index} is both covered and incomplete")
    _check_instants(result.unit, result.value, min(cells), max(cells))


def _holds(ranges: Sequence[tuple[int, int]], index: int) -> bool:
    """Whether one of these sorted ranges holds the index. Where they overlap, their ends are not sorted: look back."""
    at = bisect_right(ranges, (index, MAX_INDEX))
    while at > 0:
        at -= 1
        if index < ranges[at][1]:
            return True
    return False


def _check_instants(unit: TimeUnit, value: int, first: int, last: int) -> None:
    lowest, highest = _index_limits(unit, value)
    if first < lowest or last > highest:
        raise ValueError(f"no instant has the index {first if first < lowest else last}")


@functools.cache
def _index_limits(unit: TimeUnit, value: int) -> tuple[int, int]:
    interval = Interval(unit, value)
    return interval.index_at(_EARLIEST) + 1, interval.index_at(_LATEST)
