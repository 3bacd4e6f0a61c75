"""Generations beside all others, for one comparison: dropped at its end, and swept when it did not come to its end.

A scratch schema belongs to whoever holds the advisory lock of its name; that lock is gone with the session, so one
without a holder was left behind by a process that died.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from infra.postgres.connect import connect, release_advisory_lock, try_advisory_lock
from infra.postgres.role import OWNER, Role
from infra.settings import Settings
from projections.generations import Generation, build, fingerprint
from projections.projection import Projection

_PREFIX: Final = "verify_"
_NAME: Final = re.compile(_PREFIX + r"[0-9a-f]{8}_\w+")
_LOCK_TIMEOUT_MS: Final = 30_000
Session = psycopg.Connection[tuple[object, ...]]


@contextmanager
def scratch_generation(settings: Settings, engine: Engine, projection: Projection) -> Iterator[Generation]:
    """An empty generation that no reader and no projector knows of."""
    schema = f"{_PREFIX}{secrets.token_hex(4)}_{projection.name}"
    session = connect(settings, Role.PROJECTOR, autocommit=True, name="verify-scratch")
    with session:
        try_advisory_lock(session, _lock(schema))
        with engine.begin() as connection:
            build(connection, projection, schema, 0)
        try:
            yield Generation(
                projection=projection.name,
                number=0,
                schema_name=schema,
                version=projection.version,
                fingerprint=fingerprint(projection),
                live=False,
            )
        finally:
            _drop(session, schema)


def sweep(settings: Settings) -> list[str]:
    """Drop the scratch schemas that nobody holds; their names."""
    dropped: list[str] = []
    with connect(settings, Role.PROJECTOR, autocommit=True, name="verify-sweep") as session:
        names = [str(name) for (name,) in session.execute("select nspname from pg_namespace order by 1")]
        for schema in names:
            if _NAME.fullmatch(schema) and try_advisory_lock(session, _lock(schema)):
                _drop(session, schema)
                release_advisory_lock(session, _lock(schema))
                dropped.append(schema)
    return dropped


def _drop(session: Session, schema: str) -> None:
    with session.transaction():
        session.execute(f"set local lock_timeout = {_LOCK_TIMEOUT_MS}".encode())
        session.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
        session.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


def _lock(schema: str) -> str:
    return f"scratch:{schema}"
