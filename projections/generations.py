"""Generations: schemas built whole from the declarations, and the row that says which one is live (DESIGN 7).

A projector whose code declares another version or other tables than the live generation builds a new one beside
it from the start of the log, and swaps once that has caught up; readers are served by the old one until then.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, Table, func, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateIndex, CreateTable

from infra.postgres.connect import lock_key
from infra.postgres.role import OWNER, Role
from infra.postgres.runtime import generations as live_table
from projections.projection import Projection
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

_POLICY: Final = (
    "nullif(current_setting('{setting}', true), '') is not null and {column} not in "
    "(select unnest(nullif(current_setting('{setting}', true), '')::bigint[]))"
)
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
        return f"millstream.projection.{self.projection}.g{self.number}"


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
    statements = [*_tables_ddl(projection.metadata.sorted_tables)]
    statements += _tables_ddl(housekeeping.METADATA.sorted_tables)
    statements += [f"{table}.{column}" for table, column in sorted(projection.restricted.items())]
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
    """The generation that this build has to write: the live one when it fits, else the newest that fits, else a new one.

    The first generation of a projection is live from its making. Safe when several projectors start at once.
    """
    wanted = fingerprint(projection)
    with _locked(engine, projection.name) as connection:
        live = live_generations(connection).get(projection.name)
        if live is not None and (live.version, live.fingerprint) == (projection.version, wanted):
            return _generation(projection, live.number, wanted, live=True)
        newest = live.number if live is not None else 0
        for number in _numbers(connection, projection.name):
            newest = max(newest, number)
            if (live is None or number > live.number) and _fits(connection, projection, number, wanted):
                return _adopted(connection, projection, number, wanted, live)
        number = newest + 1
        build(connection, projection, schema_name(projection.name, number), number)
        return _adopted(connection, projection, number, wanted, live)


def swap(engine: Engine, projection: Projection, generation: Generation) -> bool:
    """Make ``generation`` the one that readers use; False when it is not newer than the live one."""
    with _locked(engine, projection.name) as connection:
        done = connection.execute(
            update(live_table)
            .where(
                live_table.c.projection == projection.name, live_table.c.live_generation < generation.number
            )
            .values(
                live_generation=generation.number,
                schema_name=generation.schema_name,
                version=generation.version,
                fingerprint=generation.fingerprint,
                state="live",
                swapped_at=func.now(),
            )
        )
        return done.rowcount == 1


def schema_name(projection: str, number: int) -> str:
    """The Postgres schema of a generation."""
    return f"{projection}_g{number}"


def _generation(projection: Projection, number: int, wanted: str, *, live: bool) -> Generation:
    return Generation(
        projection=projection.name,
        number=number,
        schema_name=schema_name(projection.name, number),
        version=projection.version,
        fingerprint=wanted,
        live=live,
    )


def _adopted(
    connection: Connection, projection: Projection, number: int, wanted: str, live: LiveGeneration | None
) -> Generation:
    if live is None:
        connection.execute(
            insert(live_table).values(
                projection=projection.name,
                live_generation=number,
                schema_name=schema_name(projection.name, number),
                version=projection.version,
                fingerprint=wanted,
                state="live",
            )
        )
    return _generation(projection, number, wanted, live=live is None)


def _numbers(connection: Connection, projection: str) -> list[int]:
    """Numbers of the generations whose schemas exist, the newest first."""
    names = connection.scalars(text("select nspname from pg_namespace"))
    pattern = re.compile(re.escape(projection) + r"_g(\d+)")
    return sorted((int(found[1]) for name in names if (found := pattern.fullmatch(name))), reverse=True)


def _fits(connection: Connection, projection: Projection, number: int, wanted: str) -> bool:
    placed = connection.execution_options(
        schema_translate_map={housekeeping.METADATA.schema: schema_name(projection.name, number)}
    )
    columns = housekeeping.GENERATION.c
    row = placed.execute(select(columns.version, columns.fingerprint)).first()
    return row is not None and tuple(row) == (projection.version, wanted)


def build(connection: Connection, projection: Projection, schema: str, number: int) -> None:
    """Make the schema with everything that a generation holds, empty; in the caller's transaction."""
    places = {projection.metadata.schema: schema, housekeeping.METADATA.schema: schema}
    readers = ", ".join(role.database_name for role in READERS)
    connection.execute(text(f"set local role {OWNER}"))
    connection.execute(text(f'create schema "{schema}"'))
    placed = connection.execution_options(schema_translate_map=places)
    tables = [*projection.metadata.sorted_tables, *housekeeping.METADATA.sorted_tables]
    for table in tables:
        placed.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
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
    for name in (housekeeping.QUARANTINE.name, *APP_SEES):
        connection.execute(text(f'revoke select on "{schema}".{name} from {Role.APP.database_name}'))
    for name, granted in APP_SEES.items():
        connection.execute(text(f'grant select ({granted}) on "{schema}".{name} to {Role.APP.database_name}'))
    placed.execute(
        insert(housekeeping.GENERATION).values(
            projection=projection.name,
            number=number,
            version=projection.version,
            fingerprint=fingerprint(projection),
        )
    )
    connection.execute(text("reset role"))


@contextmanager
def _locked(engine: Engine, name: str) -> Iterator[Connection]:
    """One transaction that nobody else has for this projection's generations."""
    with engine.begin() as connection:
        connection.execute(text(f"select pg_advisory_xact_lock({lock_key('generations:' + name)})"))
        yield connection


def _tables_ddl(tables: list[Table]) -> Iterator[str]:
    for table in tables:
        yield str(CreateTable(table).compile(dialect=_DIALECT))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=_DIALECT))
