"""The generations of a projection as they stand in the database."""

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select, text

from infra.postgres.runtime import heartbeats, kept_generations
from projections.catalogue import projection as declared
from projections.freshness import HEARTBEAT_PREFIX, HEARTBEAT_VALID_S
from projections.generations import live_generations
from projections.rebuild import store
from projections.rebuild.errors import NoSuchGeneration
from projections.rebuild.machine import OPEN

_SIZE: Final = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = :schema and c.relkind = 'r'
"""
_TABLES: Final = """
select c.relname as name, c.reltuples as tuples, pg_relation_size(c.oid) as size
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and c.relkind = 'r' and c.relname = any(:tables)
"""
_COUNTED_BYTES: Final = 2 * 1024 * 1024
"""A table up to this size is counted; of a larger one the planner's estimate is taken, once there is one."""


class GenerationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One generation. ``rows``: small tables are counted, large ones as Postgres estimates; not ``rows_known`` while it has
    not looked at some large one yet. ``at`` is ``topic/partition`` -> next offset to read.

    ``kept_current``: some projector that runs folds it (the live one, or one that was live before). ``scratch``: it shows
    the past and never becomes live. ``filling``: a rebuild works on it.
    """

    projection: str
    number: int
    schema_name: str
    version: int
    fingerprint: str
    live: bool
    scratch: bool
    filling: bool
    kept: bool
    kept_current: bool
    rows: int
    rows_known: bool
    size_bytes: int
    created_at: datetime
    until: datetime | None
    until_position: str | None
    at: dict[str, int]


def generations_of(connection: Connection, projection: str) -> list[GenerationInfo]:
    """Every generation whose schema exists, the newest first. ``connection`` has to be the projector's."""
    live = live_generations(connection).get(projection)
    kept = {
        row.generation
        for row in connection.execute(
            select(kept_generations.c.generation).where(kept_generations.c.projection == projection)
        )
    }
    of_rebuilds = {one.generation: one for one in reversed(store.every(connection, projection))}
    running = carried(connection)
    tables = [table.name for table in declared(projection).metadata.sorted_tables]
    found: list[GenerationInfo] = []
    for number, schema in schemas_of(connection, projection):
        made = connection.execute(
            text(f'select version, fingerprint, created_at from "{schema}".generation')
        ).first()
        if made is None:
            continue
        rebuild = of_rebuilds.get(number)
        counted = _rows(connection, schema, tables)
        is_live = live is not None and live.number == number
        found.append(
            GenerationInfo(
                projection=projection,
                number=number,
                schema_name=schema,
                version=made.version,
                fingerprint=made.fingerprint,
                live=is_live,
                scratch=rebuild is not None and rebuild.scratch,
                filling=rebuild is not None and rebuild.state in OPEN,
                kept=number in kept,
                kept_current=(projection, number) in running,
                rows=counted[0],
                rows_known=counted[1],
                size_bytes=size_bytes(connection, schema),
                created_at=made.created_at,
                until=rebuild.until if rebuild is not None else None,
                until_position=rebuild.until_position if rebuild is not None else None,
                at=passed(connection, schema),
            )
        )
    return found


def _rows(connection: Connection, schema: str, tables: list[str]) -> tuple[int, bool]:
    """How many rows, and whether that is known of every table."""
    total, known, small = 0, True, list[str]()
    for one in connection.execute(text(_TABLES), {"schema": schema, "tables": tables}):
        if one.size <= _COUNTED_BYTES:
            small.append(f'(select count(*) from "{schema}"."{one.name}")')
        elif one.tuples < 0:
            known = False
        else:
            total += int(one.tuples)
    if small:
        total += connection.scalar(text(f"select {' + '.join(small)}")) or 0
    return total, known


def generation_of(connection: Connection, projection: str, number: int) -> GenerationInfo:
    """Raises NoSuchGeneration."""
    every = generations_of(connection, projection)
    for one in every:
        if one.number == number:
            return one
    there = ", ".join(str(one.number) for one in every) or "none"
    raise NoSuchGeneration(f"{projection} has no generation {number}", remedy=f"There are: {there}.")


def schemas_of(connection: Connection, projection: str) -> list[tuple[int, str]]:
    """(number, schema) of the generations that exist, the newest first."""
    pattern = re.compile(re.escape(projection) + r"_g(\d+)")
    names = connection.scalars(text("select nspname from pg_namespace"))
    return sorted(((int(m[1]), name) for name in names if (m := pattern.fullmatch(name))), reverse=True)


def passed(connection: Connection, schema: str) -> dict[str, int]:
    """``topic/partition`` -> next offset to read."""
    rows = connection.execute(
        text(
            f'select topic, partition, next_offset from "{schema}".checkpoints order by topic collate "C", 2'
        )
    )
    return {f"{row.topic}/{row.partition}": row.next_offset for row in rows}


def size_bytes(connection: Connection, schema: str) -> int:
    """Tables with their indexes."""
    return connection.scalar(text(_SIZE), {"schema": schema}) or 0


def carried(connection: Connection) -> set[tuple[str, int]]:
    """(projection, generation) of everything that some projector has said lately it keeps current."""
    found: set[tuple[str, int]] = set()
    beats = connection.execute(
        select(heartbeats.c.details).where(
            heartbeats.c.process.startswith(HEARTBEAT_PREFIX),
            heartbeats.c.seen_at > func.clock_timestamp() - timedelta(seconds=HEARTBEAT_VALID_S),
        )
    )
    for (details,) in beats:
        found.update((str(name), int(number)) for name, number in details.get("generations", []))
    return found
