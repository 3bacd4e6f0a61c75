"""Connections for each role: a pooled SQLAlchemy engine, plain psycopg connections, and session locks."""

import hashlib
from typing import Any, Final

import psycopg
import sqlalchemy
from sqlalchemy.engine import Engine

from infra.postgres.errors import unreachable
from infra.postgres.role import Role
from infra.settings import Settings

LOST_AFTER_S: Final = 20
"""What was sent is acknowledged by the server's host within this time, or the connection is lost."""
_KEEPALIVE: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": LOST_AFTER_S * 1_000,
}


def _options(settings: Settings, role: Role, name: str | None) -> dict[str, Any]:
    timeout_ms = settings.statement_timeout_s(role) * 1000
    return {
        "application_name": f"millstream-{name or role.value}",
        "connect_timeout": settings.database_connect_timeout_s,
        "options": f"-c statement_timeout={timeout_ms} -c timezone=UTC",
        **_KEEPALIVE,
    }


def engine(
    settings: Settings, role: Role, *, pool_size: int | None = None, name: str | None = None
) -> Engine:
    """A pooled engine; the caller disposes of it. ``name`` is shown in ``pg_stat_activity``."""
    dsn, options = settings.dsn(role), _options(settings, role, name)
    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn, **options),
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_pre_ping=True,
    )


def connect(
    settings: Settings, role: Role, *, autocommit: bool = False, name: str | None = None
) -> psycopg.Connection[Any]:
    """One connection of its own, for COPY, LISTEN (autocommit) or a session lock. Raises DatabaseUnreachable."""
    dsn = settings.dsn(role)
    try:
        return psycopg.connect(dsn, autocommit=autocommit, **_options(settings, role, name))
    except psycopg.OperationalError as error:
        raise unreachable(dsn, error) from error


def lock_key(name: str) -> int:
    """The 64-bit key of the advisory lock with this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def try_advisory_lock(connection: psycopg.Connection[Any], name: str) -> bool:
    """Take the lock of this name for the life of the session, if nobody has it. It is gone when the session is."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(name),)).fetchone()
    return row is not None and bool(row[0])


def release_advisory_lock(connection: psycopg.Connection[Any], name: str) -> bool:
    """Give the lock back early; False when this session did not hold it."""
    row = connection.execute("SELECT pg_advisory_unlock(%s)", (lock_key(name),)).fetchone()
    return row is not None and bool(row[0])
