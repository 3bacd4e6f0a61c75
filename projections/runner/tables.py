"""What every generation holds beside its projection's own tables; the schema name is a placeholder."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
)

METADATA = MetaData(schema="generation_housekeeping")

GENERATION = Table(
    "generation",
    METADATA,
    Column("projection", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column(
        "protection",
        Text,
        comment="of grants and policies, as they were made: a change by hand is known by it",
    ),
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

GUARDS = Table(
    "guards",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("aggregate", Text, primary_key=True, comment="the record key"),
    Column("version", BigInteger, nullable=False, comment="number of events accepted"),
    Column("lifecycle", Text, nullable=False),
    comment="Aggregates of guarded topics as the guard sees them",
)

GUARD_EVENTS = Table(
    "guard_events",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("aggregate", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    comment="Accepted events of guarded topics, by which a repeat is known",
)

VERDICTS = Table(
    "verdicts",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", Text, nullable=False, comment="ACCEPTED, REJECTED or DUPLICATE"),
    Column("reason_code", Text),
    Column("reason", Text),
    Column("version", BigInteger, comment="of the aggregate, with this event accepted"),
    Column("of_offset", BigInteger, comment="the accepted event that this one repeats"),
    comment="What the guard decided; written by the projection that owns the topic alone",
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("aggregate", Text, nullable=False, comment="the record key"),
    Column("append_time", DateTime(timezone=True), nullable=False),
    Column("behind", BigInteger, comment="offset of the event at fault; null: this one is at fault"),
    Column("reason", Text, nullable=False),
    Column("trace", Text, comment="where the fold or its writer failed"),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("header_names", ARRAY(Text), nullable=False),
    Column("header_values", ARRAY(LargeBinary), nullable=False),
    Index("quarantine_aggregates", "topic", "partition", "aggregate"),
    comment="Events of aggregates at which the fold failed, in their order, byte for byte, to be folded again",
)

DROPPED = Table(
    "dropped",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("ordered", BigInteger, nullable=False, comment="offset of the order on millstream.operations"),
    comment="Records that this generation leaves out for ever, as operators ordered",
)

ORDERS = Table(
    "orders",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column(
        "next_order",
        BigInteger,
        nullable=False,
        comment="offset on millstream.operations: the next to look at",
    ),
    comment="How far operators' orders are carried out, for each partition",
)

CARRIED_OUT = Table(
    "carried_out",
    METADATA,
    Column("ordered", BigInteger, primary_key=True, autoincrement=False, comment="offset of the order"),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("aggregate", Text, primary_key=True, comment="of a drop: empty"),
    Column("offset", BigInteger, primary_key=True, autoincrement=False, comment="of a redrive: -1"),
    Column("outcome", Text, nullable=False),
    Column("folded", BigInteger, nullable=False, server_default="0", comment="events"),
    Column("waiting", BigInteger, nullable=False, server_default="0", comment="events that still wait"),
    Column("at_fault", BigInteger, comment="offset of the event that still fails"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("trace", Text),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    comment="What became of operators' orders",
)
