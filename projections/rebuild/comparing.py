"""Two generations compared in one snapshot: by checksums, set-wise, and row by row only where these differ."""

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Final, TypeAlias

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import Engine

from projections.projection import Projection
from projections.rebuild.vectors import Partition
from projections.runner.deriving import stale_keys
from projections.verification.comparing import Compared, Difference, Kind, Row, compare
from projections.verification.contents import Content, contents

Session: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
SHOWN: Final = 20
"""Differences that are kept."""
_FETCHED_ROWS: Final = 2_000

_SUM: Final = """
select count(*), coalesce(sum(hashtextextended((q.*)::text collate "C", 0)::numeric), 0)::text from ({rows}) q
"""
"""A sum of 64-bit hashes of whole rows: the order of rows does not matter, so nothing is sorted."""
_COLUMNS: Final = """
select table_name::text, column_name::text from information_schema.columns where table_schema = %s
"""
_HOUSEKEEPING: Final = frozenset(("generation", "orders", "carried_out"))


class TableSum(msgspec.Struct, frozen=True, kw_only=True):
    """One table in both generations: rows and checksum over the declared columns, and how many rows differ."""

    table: str
    rows: tuple[int, int]
    sums: tuple[str, str]
    different: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Generation ``b`` against ``a``. ``differences`` are the first ones, in words; ``different`` counts all rows."""

    projection: str
    a: int
    b: int
    same_vector: bool
    rows: int = 0
    different: int = 0
    notes: list[str] = []
    """Tables and columns that only one of them has."""
    differences: list[str] = []
    tables: list[TableSum] = []
    stale: int = 0
    """Keys whose derived rows were not compared, because one of both generations had still to derive them."""

    @property
    def equal(self) -> bool:
        """The same tables with the same rows."""
        return not self.different and not self.notes


def compare_generations(
    session: Session,
    one: Projection,
    a: tuple[int, str],
    b: tuple[int, str],
    passed: Mapping[Partition, int],
    lost: Mapping[Partition, int],
    *,
    same_vector: bool = True,
    shown: int = SHOWN,
    tick: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two (number, schema) in the snapshot of ``session``, over what ``one`` declares.

    ``passed``: partitions whose checkpoints count; ``lost``: log starts of those that have lost records. ``tick`` is
    called between tables.
    """
    there = _columns(session, a[1]), _columns(session, b[1])
    stale = _stale(session, one, a[1], there[0]) | _stale(session, one, b[1], there[1])
    common = {table: there[0][table] & there[1][table] for table in there[0].keys() & there[1].keys()}
    notes = [
        *_only_in(a[0], there[0], there[1]),
        *_only_in(b[0], there[1], there[0]),
    ]
    sums: list[TableSum] = []
    found = Compared()
    words: list[str] = []
    for content in contents(one, passed, lost, common, stale):
        tick()
        rows, checks = zip(*(_sum(session, content, schema) for schema in (a[1], b[1])), strict=True)
        table = TableSum(table=content.table, rows=rows, sums=checks)
        if rows[0] != rows[1] or checks[0] != checks[1]:
            each = _row_by_row(session, content, a[1], b[1], shown - len(words))
            words += [in_words(difference, a[0], b[0]) for difference in each.differences]
            found.different += each.different
            table = msgspec.structs.replace(table, different=each.different)
        found.rows += max(rows)
        sums.append(table)
    return Comparison(
        projection=one.name,
        a=a[0],
        b=b[0],
        same_vector=same_vector,
        rows=found.rows,
        different=found.different,
        notes=notes,
        differences=words,
        tables=sums,
        stale=len(stale),
    )


def in_words(found: Difference, a: int, b: int) -> str:
    """One difference, with the generations' numbers."""
    place = f"{found.table}[{found.key}]"
    match found.kind:
        case Kind.CHANGED:
            return f"{place} {found.column}: g{a} {found.live}, g{b} {found.replayed}"
        case Kind.MISSING:
            return f"{place} is in g{b} only: {found.replayed}"
        case Kind.EXTRA:
            return f"{place} is in g{a} only: {found.live}"


def _row_by_row(session: Session, content: Content, a: str, b: str, shown: int) -> Compared:
    return compare(
        content.table,
        content.keys,
        content.columns,
        _rows(session, content, a, "left"),
        _rows(session, content, b, "right"),
        shown=max(0, shown),
    )


def _rows(session: Session, content: Content, schema: str, name: str) -> Iterator[Row]:
    with session.cursor(name=name) as cursor:
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(content.of(schema).encode())
        yield from cursor


def _sum(session: Session, content: Content, schema: str) -> tuple[int, str]:
    row = session.execute(_SUM.format(rows=content.unordered(schema)).encode()).fetchone()
    return msgspec.convert(row, tuple[int, str])


def _columns(session: Session, schema: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table, column in session.execute(_COLUMNS, (schema,)):
        found.setdefault(str(table), set()).add(str(column))
    return {table: frozenset(columns) for table, columns in found.items() if table not in _HOUSEKEEPING}


def _stale(session: Session, one: Projection, schema: str, there: Mapping[str, Set[str]]) -> set[int]:
    if one.derive is None or one.derive.dirty not in there:
        return set()
    return stale_keys(session, schema, one.derive)


def _only_in(number: int, mine: Mapping[str, Set[str]], other: Mapping[str, Set[str]]) -> Iterator[str]:
    for table, columns in sorted(mine.items()):
        if table not in other:
            yield f"table {table} is in g{number} only"
        elif only := sorted(columns - other[table]):
            yield f"{table}: g{number} alone has {', '.join(only)}"


@contextmanager
def snapshot_of(session: Session) -> Iterator[Session]:
    """``session`` inside a REPEATABLE READ transaction for reading, whose one state is taken by its first query."""
    session.rollback()
    session.autocommit = True
    session.execute("set idle_in_transaction_session_timeout = 0")
    session.execute("set statement_timeout = 0")
    session.autocommit = False
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.read_only = True
    try:
        yield session
    finally:
        session.rollback()


@contextmanager
def pooled_snapshot(engine: Engine) -> Iterator[Session]:
    """A snapshot on a connection that the pool gives away."""
    pooled = engine.raw_connection()
    raw = pooled.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError("the engine has to use psycopg")
    pooled.detach()
    with raw, snapshot_of(raw) as session:
        yield session


def replayed_at(session: Session, schema: str) -> dict[Partition, int]:
    """Where a generation stands in this snapshot."""
    query = sql.SQL("select topic, partition, next_offset from {}.checkpoints").format(sql.Identifier(schema))
    rows = msgspec.convert(session.execute(query).fetchall(), list[tuple[str, int, int]])
    return {(topic, number): at for topic, number, at in rows}
