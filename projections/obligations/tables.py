"""Table of the obligations projection; the schema name is a placeholder for a generation's schema.

Everything about one obligation stands under one key of one topic, so a row has one partition that writes it.
"""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="obligations")

OBLIGATIONS = Table(
    "obligations",
    METADATA,
    Column("obligation", Text, primary_key=True),
    Column("aggregate_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False, comment="0 where it is not about a repository"),
    # of obligations whose opening event leaves no other row behind
    Column("opened_at", DateTime(timezone=True)),
    Column("opened_position", Text),
    # of those that were renewed, or given up
    Column("attempt", Integer, comment="the newest one that was asked for; null: the first"),
    Column("renewed_at", DateTime(timezone=True)),
    Column("renewed_position", Text),
    Column("failed_at", DateTime(timezone=True)),
    Column("attempts", Integer),
    Column("reason", Text),
    Column("message", Text),
    Index("obligations_failed", "failed_at", postgresql_where="failed_at is not null"),
    comment="What is owed for an event: renewals, failures, and openings that stand nowhere else",
)  # fmt: skip
