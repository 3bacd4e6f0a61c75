"""The schema ``runtime``: what is neither truth nor projection. Losing it costs a rebuild at most (DESIGN section 1)."""

from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateIndex, CreateTable

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

kept_generations = Table(
    "kept_generations",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("schema_name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("kept_since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="generations that readers were led away from, and that whoever carries their fold keeps current",
)

rebuilds = Table(
    "rebuilds",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("projection", Text, nullable=False),
    Column("generation", Integer, nullable=False, comment="the one that is filled"),
    Column("schema_name", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="of the fold: who carries it may go on with it"),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("until", DateTime(timezone=True), comment="append time: only what was appended before"),
    Column("until_position", Text, comment="topic/partition@offset: up to and including this record"),
    Column("ranges", JSONB, nullable=False, server_default="{}", comment="topic/partition -> [first, end]"),
    Column("workers", Integer, nullable=False, server_default="1"),
    Column("swap", Boolean, nullable=False),
    Column("accept", Boolean, nullable=False),
    Column("accepted_at", DateTime(timezone=True), comment="when a person agreed with what differs"),
    Column("accepted", JSONB, comment="what differed, and from which generation, when that was"),
    Column("events", BigInteger, nullable=False, server_default="0"),
    Column("of_all", BigInteger, nullable=False, server_default="0"),
    Column("events_per_s", Double, nullable=False, server_default="0"),
    Column("eta_s", Double),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("verified_at", DateTime(timezone=True)),
    Column("different", BigInteger, nullable=False, server_default="0", comment="rows that differ"),
    Column("differences", JSONB, nullable=False, server_default="[]"),
    Column("from_generation", Integer, comment="the live one before the swap"),
    Column("hold_ms", Double, comment="longest hold of the live checkpoints"),
    Column("swap_ms", Double),
    Column("ordered_by", Text, nullable=False),
    Column("ordered_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("told_at", DateTime(timezone=True), comment="when the swap was published"),
    Index(
        "rebuilds_one_at_a_time",
        "projection",
        unique=True,
        postgresql_where="state in ('ORDERED', 'FILLING', 'PAUSED', 'VERIFYING')",
    ),
    comment="generations that are or were filled beside the live ones, and how far each is",
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

lag_reports = Table(
    "lag_reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("sampled_at", DateTime(timezone=True), nullable=False),
    Column("report", Text, nullable=False, comment="JSON of projections.lag.model.LagReport"),
    comment="how far every reader of the log is, as last looked at",
)

lag_samples = Table(
    "lag_samples",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False, comment="place in a ring of one hour"),
    Column("group_name", Text, primary_key=True),
    Column("sampled_at", DateTime(timezone=True), nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("seconds", Double, comment="null: not known"),
    Column("state", Text, nullable=False),
    comment="the last hour of every reader of the log",
)

GRANTS: Final = {
    Role.PROJECTOR: "SELECT, INSERT, UPDATE, DELETE",
    Role.WORKER: "SELECT, INSERT, UPDATE",
    Role.APP: "SELECT",
}
_APP_READS: Final = frozenset(
    {
        generations.name,
        kept_generations.name,
        rebuilds.name,
        heartbeats.name,
        installation.name,
        lag_reports.name,
        lag_samples.name,
    }
)
_LOCK_KEY: Final = 0x6D696C6C72756E74
"""``pg_advisory_xact_lock`` of the making of these tables ("millrunt")."""
_LATER: Final = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{RUNTIME_SCHEMA}.rebuilds'::regclass AND attname = 'accepted') THEN
    ALTER TABLE {RUNTIME_SCHEMA}.rebuilds ADD COLUMN accepted jsonb;
  END IF;
END $$
"""
"""What tables of earlier builds lack. Looked at first: ALTER TABLE waits for every reader, and all others for it."""


def create(engine: Engine) -> None:
    """Make the tables and grant them, as the owner; safe when several starts do it at once.

    ``engine`` is that of an admin or of the projector: both may act as the owner.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
        connection.exec_driver_sql(_LATER)
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
