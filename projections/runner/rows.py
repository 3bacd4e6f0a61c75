"""Applies ``Upsert`` changes set-wise: one statement per table and set of columns.

The statements name no schema: the runner's connection has the generation's schema as its search path.
"""

from functools import lru_cache
from typing import cast

from psycopg.abc import QueryNoTemplate
from sqlalchemy import ARRAY, MetaData, Table
from sqlalchemy.dialects import postgresql

from projections.changes import Keep, Rule, Upsert, Value
from projections.projection import Cursor

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class RowWriter:
    """Writes the upserts of one projection."""

    def __init__(self, metadata: MetaData) -> None:
        self._tables = {table.name: table for table in metadata.tables.values()}

    def __call__(self, cursor: Cursor, changes: list[Upsert]) -> int:
        """Apply ``changes`` in order; the number of rows."""
        for change in changes:
            table = self._tables[change.table]
            names = change.keys + change.columns
            arrays = _is_array(table, names)
            columns = [
                [_literal(row[place]) for row in change.rows]
                if arrays[place]
                else [row[place] for row in change.rows]
                for place in range(len(names))
            ]
            statement = upsert_statement(table, change.keys, change.columns, change.rules)
            cursor.execute(cast(QueryNoTemplate, statement), columns)
        return sum(len(change.rows) for change in changes)


@lru_cache(maxsize=512)
def upsert_statement(
    table: Table, keys: tuple[str, ...], columns: tuple[str, ...], rules: tuple[Rule, ...]
) -> str:
    """INSERT from parallel arrays, one parameter per key and column; ON CONFLICT follows each column's rule."""
    names = keys + columns
    arrays = _is_array(table, names)
    types = [table.c[name].type.compile(dialect=_DIALECT) for name in names]
    parameters = ", ".join(
        f"%s::{'text' if array else kind}[]" for kind, array in zip(types, arrays, strict=True)
    )
    selected = ", ".join(
        f'v."{name}"::{kind}' if array else f'v."{name}"'
        for name, kind, array in zip(names, types, arrays, strict=True)
    )
    quoted = ", ".join(f'"{name}"' for name in names)
    conflict = ", ".join(f'"{name}"' for name in keys)
    updates = ", ".join(f'"{name}" = {_kept(name, rule)}' for name, rule in zip(columns, rules, strict=True))
    action = f"update set {updates}" if columns else "nothing"
    return (
        f'insert into "{table.name}" as t ({quoted}) select {selected} '
        f"from unnest({parameters}) as v({quoted}) on conflict ({conflict}) do {action}"
    )


def _kept(name: str, rule: Rule) -> str:
    if rule is Keep.LAST:
        return f'excluded."{name}"'
    if rule is Keep.FIRST:
        return f'coalesce(t."{name}", excluded."{name}")'
    rank = rule.column
    return f'case when t."{rank}" is null or excluded."{rank}" > t."{rank}" then excluded."{name}" else t."{name}" end'


def _is_array(table: Table, names: tuple[str, ...]) -> list[bool]:
    return [isinstance(table.c[name].type, ARRAY) for name in names]


def _literal(value: Value) -> str | None:
    # unnest would flatten an array of arrays, so those travel as text.
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, int | str) for item in value):
        raise TypeError(f"only lists of integers or texts are written as arrays, not {value!r}")
    return "{" + ",".join(_quoted(item) if isinstance(item, str) else str(item) for item in value) + "}"


def _quoted(item: str) -> str:
    escaped = item.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
