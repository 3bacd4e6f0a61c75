"""Tables of the operations projection; the schema name is a placeholder for a generation's schema.

An order is named by the offset of its event on ``millstream.operations``, which has one partition.
"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="operations")

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="offset on the topic"),
    Column("kind", Text, nullable=False, comment="redrive, drop, rebuild or swap"),
    Column("projection", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("ordered_at", DateTime(timezone=True), nullable=False),
    Column("items", Integer, comment="aggregates to redrive, or records to drop"),
    Column("dry_run", Boolean, nullable=False),
    Column("from_generation", Integer),
    Column("to_generation", Integer),
    Column("until", DateTime(timezone=True), comment="of a rebuild: append time"),
    Column("differences", BigInteger, comment="of a swap: rows that differed and were accepted"),
    Index("decisions_projection", "projection", "position"),
    comment="Everything that operators decided, in order",
)

REDRIVES = Table(
    "redrives",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="of the order"),
    Column("place", Integer, primary_key=True, autoincrement=False, comment="in the order, from 0"),
    Column("projection", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("aggregate", Text, nullable=False, comment="the record key"),
    Column("dry_run", Boolean, nullable=False),
    Index("redrives_places", "projection", "topic", "partition", "position"),
    comment="Aggregates whose queued events are to be folded again",
)

DROPS = Table(
    "drops",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="of the order"),
    Column("place", Integer, primary_key=True, autoincrement=False, comment="in the order, from 0"),
    Column("projection", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("ordered_at", DateTime(timezone=True), nullable=False),
    Index("drops_places", "projection", "topic", "partition", "position"),
    comment="Records that a projection is to leave out for ever",
)
