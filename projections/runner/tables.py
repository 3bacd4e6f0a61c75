"""What every generation holds beside its projection's own tables; the schema name is a placeholder."""

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, func

METADATA = MetaData(schema="generation_housekeeping")

GENERATION = Table(
    "generation",
    METADATA,
    Column("projection", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="Which projection this schema is a generation of (one row)",
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("cluster_id", Text, nullable=False),
    Column("topic_id", LargeBinary, nullable=False, comment="the topic's UUID, 16 bytes"),
    Column("epoch", BigInteger, nullable=False, server_default="0", comment="of the worker that may write"),
    Column("next_offset", BigInteger, nullable=False),
    Column("last_offset", BigInteger),
    Column("last_crc32", BigInteger),
    Column("last_append_time", DateTime(timezone=True)),
    Column("applied_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False, server_default="RUNNING"),
    Column("state_reason", Text),
    comment="How far each partition is folded; moved in the transaction that writes the rows",
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("append_time", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("header_names", ARRAY(Text), nullable=False),
    Column("header_values", ARRAY(LargeBinary), nullable=False),
    comment="Records that are no events, byte for byte",
)
