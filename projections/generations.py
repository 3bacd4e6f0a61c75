"""Generations: schemas built whole from the declarations, and the row that says which one is live (DESIGN 7).

Where the code declares another version or other tables than the live generation has, readers are served by that one until
a rebuild (``projections.rebuild``) has filled another from the log.
"""

import hashlib
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, MetaData, Table, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateIndex, CreateTable

from infra.postgres.connect import lock_key
from infra.postgres.role import OPERATOR, OWNER, Role
from infra.postgres.runtime import generations as live_table
from infra.topics import PROJECTION_GROUPS
from projections.projection import Projection
from projections.rebuild.security import protection
from projections.runner import tables as housekeeping
from schemas.errors import MillstreamError

DENIED_SETTING: Final = "millstream.denied_repositories"
"""The transaction setting that row security reads: a bigint[] literal; unset hides every row."""
READERS: Final = (Role.APP, Role.WORKER)
APP_SEES: Final = {
    housekeeping.DEAD_LETTERS.name: 'topic, partition, "offset", path',
    housekeeping.CHECKPOINTS.name: "topic, partition, cluster_id, topic_id, epoch, next_offset, last_offset, "
    "last_crc32, last_append_time, applied_at, state",
}
"""Columns that the app may read of tables that it may not read whole."""
OPERATOR_SEES: Final = (
    housekeeping.DEAD_LETTERS.name,
    housekeeping.QUARANTINE.name,
    housekeeping.CARRIED_OUT.name,
)
"""Foreign bytes, and reasons that may quote them: the app reads them as the role ``millstream_operator`` alone."""

_POLICY: Final = (
    "nullif(current_setting('{setting}', true), '') is not null and {column} not in "
    "(select unnest(nullif(current_setting('{setting}', true), '')::bigint[]))"
)
_DROP_LOCK_TIMEOUT_MS: Final = 30_000
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class NotProjected(MillstreamError):
    """A projection has no live generation yet."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a projection. ``live`` says whether readers used it when this was read."""

    projection: str
    number: int
    schema_name: str
    version: int
    fingerprint: str
    live: bool

    @property
    def group(self) -> str:
        """The consumer group of its runners."""
        return f"{PROJECTION_GROUPS}{self.projection}.g{self.number}"


class LiveGeneration(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``runtime.generations``."""

    projection: str
    number: int
    schema_name: str
    version: int
    fingerprint: str
    created_at: datetime
    swapped_at: datetime | None


def fingerprint(projection: Projection) -> str:
    """SHA-256 over the DDL of the generation's tables and who may read them, in hex."""
    return _fingerprint(projection.metadata, tuple(sorted(projection.restricted.items())))


@lru_cache(maxsize=64)
def _fingerprint(metadata: MetaData, restricted: tuple[tuple[str, str], ...]) -> str:
    statements = [*_tables_ddl(metadata.sorted_tables)]
    statements += _tables_ddl(housekeeping.METADATA.sorted_tables)
    statements += [f"{table}.{column}" for table, column in restricted]
    statements += [f"{table}: {columns}" for table, columns in APP_SEES.items()]
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()


def live_generations(connection: Connection) -> dict[str, LiveGeneration]:
    """What readers use now, by projection."""
    columns = live_table.c
    query = select(
        columns.projection,
        columns.live_generation.label("number"),
        columns.schema_name,
        columns.version,
        columns.fingerprint,
        columns.created_at,
        columns.swapped_at,
    )
    return {row["projection"]: LiveGeneration(**row) for row in connection.execute(query).mappings()}


def ensure_generation(engine: Engine, projection: Projection) -> Generation:
    """The live generation, made now where there is none. Safe when several projectors start at once.

    Another build may have made it: ``fits`` says whether this one may fold into it.
    """
    with locked(engine, projection.name) as connection:
        live = live_generations(connection).get(projection.name)
        if live is not None:
            return Generation(
                projection=projection.name,
                number=live.number,
                schema_name=live.schema_name,
                version=live.version,
                fingerprint=live.fingerprint,
                live=True,
            )
        wanted = fingerprint(projection)
        number = newest_number(connection, projection.name) + 1
        name = schema_name(projection.name, number)
        build(connection, projection, name, number)
        connection.execute(
            insert(live_table).values(
                projection=projection.name,
                live_generation=number,
                schema_name=name,
                version=projection.version,
                fingerprint=wanted,
                state="live",
            )
        )
        return Generation(
            projection=projection.name,
            number=number,
            schema_name=name,
            version=projection.version,
            fingerprint=wanted,
            live=True,
        )


def fits(projection: Projection, generation: Generation | LiveGeneration) -> bool:
    """Whether this fold and these tables are what made the generation."""
    return (generation.version, generation.fingerprint) == (projection.version, fingerprint(projection))


def schema_name(projection: str, number: int) -> str:
    """The Postgres schema of a generation."""
    return f"{projection}_g{number}"


def _numbers(connection: Connection, projection: str) -> list[int]:
    """Numbers of the generations whose schemas exist, the newest first."""
    names = connection.scalars(text("select nspname from pg_namespace"))
    pattern = re.compile(re.escape(projection) + r"_g(\d+)")
    return sorted((int(found[1]) for name in names if (found := pattern.fullmatch(name))), reverse=True)


def build(
    connection: Connection,
    projection: Projection,
    schema: str,
    number: int,
    later: Set[str] = frozenset(),
    keyless: Set[str] = frozenset(),
) -> None:
    """Make the schema with everything that a generation holds, empty; in the caller's transaction.

    The indexes named in ``later`` are left out, and so are the primary keys of the tables named in ``keyless``.
    """
    places = {projection.metadata.schema: schema, housekeeping.METADATA.schema: schema}
    readers = ", ".join(role.database_name for role in READERS)
    connection.execute(text(f"set local role {OWNER}"))
    connection.execute(text(f'create schema "{schema}"'))
    placed = connection.execution_options(schema_translate_map=places)
    tables = [*projection.metadata.sorted_tables, *housekeeping.METADATA.sorted_tables]
    for table in tables:
        placed.execute(CreateTable(table))
        if table.name in keyless:
            connection.execute(
                text(f'alter table "{schema}"."{table.name}" drop constraint "{table.name}_pkey"')
            )
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in later:
                placed.execute(CreateIndex(index))
        if table.comment:
            comment = table.comment.replace("'", "''")
            connection.execute(text(f'comment on table "{schema}"."{table.name}" is \'{comment}\''))
    for name, column in projection.restricted.items():
        target = f'"{schema}"."{name}"'
        visible = _POLICY.format(setting=DENIED_SETTING, column=column)
        connection.execute(text(f"alter table {target} enable row level security"))
        connection.execute(
            text(f"create policy visible on {target} for select to {readers} using ({visible})")
        )
    connection.execute(text(f'grant usage on schema "{schema}" to {readers}'))
    connection.execute(text(f'grant select on all tables in schema "{schema}" to {readers}'))
    # Dead letters and quarantine hold foreign bytes, unchecked and of any repository: for operators only. That a
    # record is a dead letter, and by which field, whoever published it may know.
    # Why a partition stopped may quote a row.
    for name in (housekeeping.QUARANTINE.name, housekeeping.CARRIED_OUT.name, *APP_SEES):
        connection.execute(text(f'revoke select on "{schema}".{name} from {Role.APP.database_name}'))
    for name, granted in APP_SEES.items():
        connection.execute(text(f'grant select ({granted}) on "{schema}".{name} to {Role.APP.database_name}'))
    connection.execute(text(f'grant usage on schema "{schema}" to {OPERATOR}'))
    for name in OPERATOR_SEES:
        connection.execute(text(f'grant select on "{schema}".{name} to {OPERATOR}'))
    placed.execute(
        insert(housekeeping.GENERATION).values(
            projection=projection.name,
            number=number,
            version=projection.version,
            fingerprint=fingerprint(projection),
            protection=protection(connection, schema),
        )
    )
    connection.execute(text("reset role"))


def newest_number(connection: Connection, projection: str) -> int:
    """The greatest number that a generation of this projection has or had; 0 without any."""
    query = """
    select greatest(
      (select max(live_generation) from runtime.generations where projection = :projection),
      (select max(generation) from runtime.rebuilds where projection = :projection))
    """
    known = connection.scalar(text(query), {"projection": projection}) or 0
    return max(known, *_numbers(connection, projection), 0)


def drop_schema(connection: Connection, schema: str) -> None:
    """Drop a generation with everything in it, in the caller's transaction; one that is not there is no error."""
    connection.execute(text(f"set local lock_timeout = {_DROP_LOCK_TIMEOUT_MS}"))
    connection.execute(text(f"set local role {OWNER}"))
    connection.execute(text(f'drop schema if exists "{schema}" cascade'))
    connection.execute(text("reset role"))


@contextmanager
def locked(engine: Engine, name: str) -> Iterator[Connection]:
    """One transaction that nobody else has for this projection's generations."""
    with engine.begin() as connection:
        connection.execute(text(f"select pg_advisory_xact_lock({lock_key('generations:' + name)})"))
        yield connection


def _tables_ddl(tables: list[Table]) -> Iterator[str]:
    for table in tables:
        yield str(CreateTable(table).compile(dialect=_DIALECT))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=_DIALECT))
