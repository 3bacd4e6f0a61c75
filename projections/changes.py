"""What a fold wants done to its tables: plain values, applied set-wise by ``projections.runner.rows``.

A fold collects sparse rows (only the columns an event speaks of). Each column has a rule that says which
of two values stays, and the rule is the same inside a batch (here) and against the table (in SQL), so that
the cut of the log into batches cannot be seen in the rows.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

import msgspec

Value = object
"""A column value that the Postgres driver takes as it is."""
Key = tuple[Value, ...]


class Keep(Enum):
    """Which value of a column stays when two events write it."""

    LAST = "last"
    """The later one in partition order."""
    FIRST = "first"
    """The earlier one in partition order; null counts as absent."""


class Ranked(msgspec.Struct, frozen=True):
    """The value that came with the greatest ``column`` stays; among equals the first in partition order."""

    column: str


Rule = Keep | Ranked


class Upsert(msgspec.Struct, frozen=True):
    """Rows of one table that all set the same columns, sorted by key; every key at most once."""

    table: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rules: tuple[Rule, ...]
    rows: list[tuple[Value, ...]]
    """Key values, then one value per column."""


class SparseTable:
    """Collects what a batch says about the rows of one table, one column at a time.

    ``rules`` names every column that may be written beside the keys. A rank column named by a ``Ranked``
    rule has to be ``Ranked`` by itself and to be set together with the columns that follow it.
    """

    def __init__(self, table: str, keys: tuple[str, ...], rules: Mapping[str, Rule]) -> None:
        self._table: Final = table
        self._keys: Final = keys
        self._rules: Final = dict(rules)
        self._rows: dict[Key, dict[str, Value]] = {}

    def set(self, key: Key, **columns: Value) -> None:
        """One event's columns for the row ``key``; call in partition order."""
        row = self._rows.setdefault(key, {})
        before = dict(row)
        for name, value in columns.items():
            if _replaces(self._rules[name], name, before, columns):
                row[name] = value

    def upserts(self) -> list[Upsert]:
        """The batch, one ``Upsert`` per set of columns, in a fixed order."""
        by_columns: dict[tuple[str, ...], list[tuple[Value, ...]]] = {}
        for key, row in self._rows.items():
            names = tuple(sorted(row))
            by_columns.setdefault(names, []).append((*key, *(row[name] for name in names)))
        width = len(self._keys)
        return [
            Upsert(
                table=self._table,
                keys=self._keys,
                columns=names,
                rules=tuple(self._rules[name] for name in names),
                rows=sorted(rows, key=lambda row: tuple(map(_sortable, row[:width]))),
            )
            for names, rows in sorted(by_columns.items())
        ]


def upserts(tables: Iterable[SparseTable]) -> list[Upsert]:
    """Everything that ``tables`` collected, in their order."""
    return [upsert for table in tables for upsert in table.upserts()]


def _replaces(rule: Rule, name: str, row: Mapping[str, Value], new: Mapping[str, Value]) -> bool:
    if name not in row or rule is Keep.LAST:
        return True
    if isinstance(rule, Ranked):
        old_rank, new_rank = row.get(rule.column), new[rule.column]
        return old_rank is None or _number(new_rank) > _number(old_rank)
    return row[name] is None


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a rank has to be an integer, not {value!r}")
    return value


def _sortable(value: Value) -> tuple[int, str]:
    # Numbers by value, texts as in COLLATE "C"; a key column never mixes the two.
    return (value, "") if isinstance(value, int) else (0, str(value))
