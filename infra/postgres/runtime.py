"""The schema ``runtime``: what is neither truth nor projection. Losing it costs a rebuild at most (DESIGN section 1)."""

from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import (
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateTable

from infra.postgres.role import OWNER, Role
from infra.postgres.roles import RUNTIME_SCHEMA

metadata = MetaData(schema=RUNTIME_SCHEMA)

generations = Table(
    "generations",
    metadata,
    Column("projection", Text, primary_key=True),
    Column(
        "live_generation", Integer, nullable=False, comment="the one that readers use: the swap is one UPDATE"
    ),
    Column("schema_name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column(
        "fingerprint", Text, nullable=False, comment="of the tables, as the code that built them declared"
    ),
    Column("state", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("swapped_at", DateTime(timezone=True)),
    comment="which generation of each projection is live",
)

token_buckets = Table(
    "token_buckets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("tokens", Double, nullable=False),
    Column("capacity", Double, nullable=False),
    Column("refill_per_s", Double, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="rate limits shared by all handlers of the cluster",
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("process", Text, primary_key=True, comment="kind and slot, as worker-0"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("details", JSONB, nullable=False, server_default="{}"),
    comment="processes that run, and when each was last seen",
)

installation = Table(
    "installation",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="decided once: partition count and Kafka's cluster id",
)

GRANTS: Final = {
    Role.PROJECTOR: "SELECT, INSERT, UPDATE, DELETE",
    Role.WORKER: "SELECT, INSERT, UPDATE",
    Role.APP: "SELECT",
}
_APP_READS: Final = frozenset({generations.name, heartbeats.name, installation.name})
_LOCK_KEY: Final = 0x6D696C6C72756E74
"""``pg_advisory_xact_lock`` of the making of these tables ("millrunt")."""


def create(engine: Engine) -> None:
    """Make the tables and grant them, as the owner; safe when several starts do it at once.

    ``engine`` is that of an admin or of the projector: both may act as the owner.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        _grant(connection)


def _grant(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the engine has to use psycopg 3")
    for role, rights in GRANTS.items():
        name = sql.Identifier(role.database_name)
        driver.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(RUNTIME_SCHEMA), name))
        for table in metadata.sorted_tables:
            if role is Role.APP and table.name not in _APP_READS:
                continue
            target = sql.Identifier(RUNTIME_SCHEMA, table.name)
            driver.execute(sql.SQL("GRANT " + rights + " ON {} TO {}").format(target, name))
