"""Tables as the writer would leave them, in memory: upserts applied by the rules that they bring."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from projections.changes import Keep, Upsert, Value
from projections.commit_graph.base import LookRow, RefRow, UploadRow, base_of, commits_of
from projections.commit_graph.model import Base

Row = dict[str, Value]
T = TypeVar("T", bound=msgspec.Struct)


class TablesInMemory:
    """The base tables of one projection."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[Value, ...], Row]] = {}

    def apply(self, upserts: Sequence[Upsert]) -> None:
        for one in upserts:
            table = self._tables.setdefault(one.table, {})
            width = len(one.keys)
            for values in one.rows:
                row = table.setdefault(values[:width], dict(zip(one.keys, values[:width], strict=True)))
                new = dict(zip(one.columns, values[width:], strict=True))
                before = dict(row)
                for name, rule in zip(one.columns, one.rules, strict=True):
                    if isinstance(rule, Keep):
                        if rule is Keep.LAST or before.get(name) is None:
                            row[name] = new[name]
                    else:
                        rank = before.get(rule.column)
                        if rank is None or cast(int, new[rule.column]) > cast(int, rank):
                            row[name] = new[name]

    def rows(self, table: str) -> list[Row]:
        return list(self._tables.get(table, {}).values())

    def base(self) -> Base:
        """The only repository's."""
        graph = next(iter(self.rows("lsif_commit_graphs")), {})
        base = base_of(
            bool(graph.get("removed")),
            msgspec.convert(graph.get("pushed_at"), datetime | None),
            [_as(row, LookRow) for row in self.rows("lsif_commit_looks")],
            [_as(row, RefRow) for row in self.rows("lsif_refs")],
            [
                _as({**row, "commit": row.get("commit_bytea")}, UploadRow)
                for row in self.rows("lsif_graph_uploads")
            ],
        )
        commits = commits_of((row["commit_bytea"], row["parents"]) for row in self.rows("lsif_commits"))
        return Base(commits=commits, refs=base.refs, uploads=base.uploads, pushed_at=base.pushed_at)


def _as(row: Row, kind: type[T]) -> T:
    return msgspec.convert(
        {name: row.get(name) for name in kind.__struct_fields__}, kind, builtin_types=(bytes, datetime)
    )
