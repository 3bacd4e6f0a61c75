"""Indexes come last: a generation is filled without those that no writer needs, and gets them before it is compared.

Primary keys too, where the projection can be filled without them (``Projection.bulk``).
"""

from typing import Final

from psycopg import sql
from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.schema import CreateIndex

from infra.postgres.role import OWNER
from projections.projection import Projection
from projections.runner import tables as housekeeping
from projections.runner.horizon import horizon_of

_THERE: Final = "select indexname from pg_indexes where schemaname = :schema"
_KEYS: Final = """
select c.relname::text from pg_constraint k join pg_class c on c.oid = k.conrelid
where k.connamespace = (select oid from pg_namespace where nspname = :schema) and k.contype = 'p'
"""
_KEY_MEMORY: Final = "256MB"
"""For sorting the keys of millions of rows, by the one session that builds them."""


def deferred(one: Projection) -> frozenset[str]:
    """Names of the secondary indexes of the projection's own tables, but for unique ones, which writers rely on.

    Of a table with a horizon they stay: rows are removed by them all the while.
    """
    horizon = horizon_of(one)
    kept = frozenset(horizon.tables) if horizon is not None else frozenset()
    return frozenset(
        str(index.name)
        for table in one.metadata.sorted_tables
        if table.name not in kept
        for index in table.indexes
        if not index.unique
    )


def keyless(one: Projection) -> frozenset[str]:
    """Tables whose primary keys come last."""
    return frozenset() if one.bulk is None else one.bulk.keyless


def is_keyless(engine: Engine, one: Projection, schema: str) -> bool:
    """Whether ``schema`` is still to be filled as ``Projection.bulk`` says: none of these keys is there yet."""
    with engine.connect() as connection:
        return bool(keyless(one)) and keyless(one).isdisjoint(_with_keys(connection, schema))


def create_missing(engine: Engine, one: Projection, schema: str) -> list[str]:
    """Build the keys and indexes that are not there yet, then let the planner look at every table; the names of the new ones.

    What ``Bulk.finish`` has to remove first has to be removed already.
    """
    with engine.begin() as connection:
        there = set(connection.scalars(text(_THERE), {"schema": schema}))
        with_keys = _with_keys(connection, schema)
    made: list[str] = []
    for table in one.metadata.sorted_tables:
        if table.name in keyless(one) and table.name not in with_keys:
            _add_key(engine, table, schema)
            made.append(f"{table.name}_pkey")
    for table in one.metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if str(index.name) in there:
                continue
            with engine.begin() as connection:
                connection.execute(text("set local statement_timeout = 0"))
                connection.execute(text(f"set local role {OWNER}"))
                places = {one.metadata.schema: schema, housekeeping.METADATA.schema: schema}
                connection.execution_options(schema_translate_map=places).execute(CreateIndex(index))
            made.append(str(index.name))
    for table in [*one.metadata.sorted_tables, *housekeeping.METADATA.sorted_tables]:
        _analyze(engine, table, schema)
    return made


def _with_keys(connection: Connection, schema: str) -> frozenset[str]:
    return frozenset(connection.scalars(text(_KEYS), {"schema": schema}))


def _add_key(engine: Engine, table: Table, schema: str) -> None:
    name = sql.Identifier(schema, table.name).as_string()
    columns = ", ".join(sql.Identifier(column.name).as_string() for column in table.primary_key)
    with engine.begin() as connection:
        connection.execute(text("set local statement_timeout = 0"))
        connection.execute(text(f"set local maintenance_work_mem = '{_KEY_MEMORY}'"))
        connection.execute(text(f"set local role {OWNER}"))
        connection.execute(text(f"alter table {name} add primary key ({columns})"))


def _analyze(engine: Engine, table: Table, schema: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("set local statement_timeout = 0"))
        connection.execute(text(f"set local role {OWNER}"))
        name = sql.Identifier(schema, table.name).as_string()
        connection.execute(text(f"analyze {name}"))
