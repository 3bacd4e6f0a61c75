"""The schema ``vault``: what is neither on the log nor in a projection, and cannot be made again. The one thing to back up."""

from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, func
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateTable

from infra.postgres.role import OWNER, Role
from infra.postgres.roles import VAULT_SCHEMA

metadata = MetaData(schema=VAULT_SCHEMA)

secrets = Table(
    "secrets",
    metadata,
    Column("ref", Text, primary_key=True, comment="the name by which events and rows speak of it"),
    Column("kind", Text, nullable=False),
    Column("owner", Text, comment="the user for whom alone it is opened; null: who knows the kind"),
    Column("key_id", Text, nullable=False, comment="which key file sealed it"),
    Column("nonce", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("unnamed_since", DateTime(timezone=True), comment="when it was first seen that nothing names it"),
    comment="secrets and addresses, encrypted under the key file",
)

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("subject", Text, primary_key=True, comment="whom the personal data is about"),
    Column("key_id", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="keys of personal data on the log; deleting one erases what it sealed, for ever",
)

_USERS: Final = (Role.APP, Role.WORKER)
_LOCK_KEY: Final = 0x6D696C6C7661756C
"""``pg_advisory_xact_lock`` of the making of these tables ("millvaul")."""
_LATER: Final = (
    f"ALTER TABLE {VAULT_SCHEMA}.secrets ADD COLUMN IF NOT EXISTS unnamed_since timestamptz, "
    "ADD COLUMN IF NOT EXISTS owner text"
)
"""What tables of earlier builds lack."""


def create(engine: Engine) -> None:
    """Make the tables and grant them, as the owner; safe when several starts do it at once."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        connection.exec_driver_sql(_LATER)
        _grant(connection)


def _grant(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the engine has to use psycopg 3")
    for role in _USERS:
        name = sql.Identifier(role.database_name)
        driver.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(VAULT_SCHEMA), name))
        for table in metadata.sorted_tables:
            target = sql.Identifier(VAULT_SCHEMA, table.name)
            driver.execute(sql.SQL("GRANT SELECT, INSERT, DELETE ON {} TO {}").format(target, name))
        target = sql.Identifier(VAULT_SCHEMA, secrets.name)
        driver.execute(sql.SQL("GRANT UPDATE (unnamed_since) ON {} TO {}").format(target, name))
