"""Sparse rows: which value of a column stays inside a batch, and the statement that says the same to Postgres."""

import pytest

from projections.changes import Keep, Ranked, Rule, SparseTable
from projections.repositories.tables import REPO_NAMES
from projections.runner.rows import upsert_statement


def _table() -> SparseTable:
    rules: dict[str, Rule] = {
        "last": Keep.LAST,
        "first": Keep.FIRST,
        "rank": Ranked("rank"),
        "ranked": Ranked("rank"),
    }
    return SparseTable("t", ("id",), rules)


def _rows(table: SparseTable) -> dict[object, dict[str, object]]:
    return {
        row[0]: dict(zip(change.columns, row[1:], strict=True))
        for change in table.upserts()
        for row in change.rows
    }


def test_last_first_and_ranked() -> None:
    table = _table()
    table.set((1,), last="a", first="a", rank=2, ranked="two")
    table.set((1,), last=None, first="b", rank=1, ranked="one")
    table.set((1,), rank=2, ranked="two again")
    assert _rows(table) == {1: {"last": None, "first": "a", "rank": 2, "ranked": "two"}}


def test_null_is_absent_for_first_only() -> None:
    table = _table()
    table.set((1,), first=None)
    table.set((1,), first="b")
    assert _rows(table) == {1: {"first": "b"}}


def test_rows_of_one_statement_set_the_same_columns_sorted_by_key() -> None:
    table = _table()
    table.set((10,), last="x")
    table.set((9,), last="y")
    table.set((2,), first="z")
    assert [(change.columns, change.rows) for change in table.upserts()] == [
        (("first",), [(2, "z")]),
        (("last",), [(9, "y"), (10, "x")]),
    ]


def test_text_keys_sort_as_in_collate_c() -> None:
    table = SparseTable("t", ("id",), {"last": Keep.LAST})
    for key in ("b", "B", "a", "ä"):
        table.set((key,), last=1)
    assert [row[0] for row in table.upserts()[0].rows] == ["B", "a", "b", "ä"]


def test_a_column_without_a_rule_is_refused() -> None:
    with pytest.raises(KeyError):
        _table().set((1,), other=1)


def test_the_statement_follows_the_rules() -> None:
    statement = upsert_statement(REPO_NAMES, ("id",), ("name", "registered_at"), (Keep.LAST, Keep.FIRST))
    assert "from unnest(%s::BIGINT[], %s::TEXT[], %s::TIMESTAMP WITH TIME ZONE[])" in statement
    assert '"name" = excluded."name"' in statement
    assert '"registered_at" = coalesce(t."registered_at", excluded."registered_at")' in statement
    ranked = upsert_statement(REPO_NAMES, ("id",), ("tip",), (Ranked("shallow"),))
    assert 'case when t."shallow" is null or excluded."shallow" > t."shallow"' in ranked
    assert upsert_statement(REPO_NAMES, ("id",), (), ()).endswith("do nothing")
