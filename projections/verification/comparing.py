"""Two streams of rows in the same order, and in what they differ. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

Row = tuple[object, ...]

SHOWN_CHARACTERS: Final = 200
"""Of one value in a difference."""


class Kind(StrEnum):
    """What is wrong with a row of the live generation."""

    CHANGED = "changed"
    """A column holds another value than a replay gives."""
    MISSING = "missing"
    """A replay gives the row, the live generation does not have it."""
    EXTRA = "extra"
    """The live generation has a row that no event accounts for."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row, or of a changed one the first column that differs. Values are shown as text, None where there is no row."""

    table: str
    key: str
    kind: Kind
    column: str = ""
    live: str | None = None
    replayed: str | None = None

    def __str__(self) -> str:
        place = f"{self.table}[{self.key}]"
        match self.kind:
            case Kind.CHANGED:
                return f"{place} {self.column}: live {self.live}, replayed {self.replayed}"
            case Kind.MISSING:
                return f"{place} is missing in the live generation: replayed {self.replayed}"
            case Kind.EXTRA:
                return f"{place} is in the live generation only: {self.live}"


class Compared(msgspec.Struct):
    """The count of what was compared; ``differences`` holds the first ones, ``different`` counts all rows."""

    rows: int = 0
    different: int = 0
    differences: list[Difference] = []


def compare(
    table: str,
    keys: Sequence[str],
    columns: Sequence[str],
    live: Iterable[Row],
    replayed: Iterable[Row],
    *,
    shown: int,
) -> Compared:
    """Merge two streams, each ordered by its key (text by code points); at most ``shown`` differences are kept.

    A row is the values of ``keys``, then of ``columns``. A changed row gives one difference per changed column.
    """
    found = Compared()
    width = len(keys)
    for left, right in _aligned(live, replayed, width):
        found.rows += 1
        if left == right:
            continue
        found.different += 1
        if len(found.differences) >= shown:
            continue
        row = left if left is not None else right
        key = ", ".join(
            f"{name}={_text(value)}" for name, value in zip(keys, (row or ())[:width], strict=True)
        )
        if left is None or right is None:
            kind = Kind.MISSING if left is None else Kind.EXTRA
            values = _values(columns, (row or ())[width:])
            one = Difference(
                table=table,
                key=key,
                kind=kind,
                live=None if left is None else values,
                replayed=None if right is None else values,
            )
            found.differences.append(one)
            continue
        found.differences += [
            Difference(
                table=table, key=key, kind=Kind.CHANGED, column=name, live=_text(ours), replayed=_text(theirs)
            )
            for name, ours, theirs in zip(columns, left[width:], right[width:], strict=True)
            if ours != theirs
        ]
    return found


def _aligned(
    live: Iterable[Row], replayed: Iterable[Row], width: int
) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows of equal key side by side; None where one stream has no such row."""
    lefts, rights = iter(live), iter(replayed)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        if left is not None and right is not None and left[:width] == right[:width]:
            yield left, right
            left, right = next(lefts, None), next(rights, None)
        elif right is None or (left is not None and _before(left[:width], right[:width])):
            yield left, None
            left = next(lefts, None)
        else:
            yield None, right
            right = next(rights, None)


def _before(one: Row, other: Row) -> bool:
    for mine, theirs in zip(one, other, strict=True):
        if mine != theirs:
            # Both come from the same column, and Postgres has ordered them.
            return bool(mine < theirs)  # type: ignore[operator]
    return False


def _values(columns: Sequence[str], values: Row) -> str:
    return _cut(", ".join(f"{name}={value!r}" for name, value in zip(columns, values, strict=True)))


def _text(value: object) -> str:
    return _cut("null" if value is None else repr(value) if isinstance(value, str | bytes) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
