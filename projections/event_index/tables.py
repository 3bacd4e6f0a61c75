"""Table of the event_index projection; the schema name is a placeholder for a generation's schema.

One row per record that has an envelope, whatever became of it. The primary key is the only index that costs: its leading
number is a hash of source and id, so that it also finds an event.
"""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="event_index")

EVENTS = Table(
    "events",
    METADATA,
    Column("said", BigInteger, primary_key=True, autoincrement=False, comment="hash of source and id"),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", Text, primary_key=True),
    Column("appended_at", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # A few bytes per megabyte: finds the oldest rows, which the horizon removes.
    Index(
        "events_appended_at", "appended_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}
    ),
    comment="Events on the log; rows older than 30 days are removed",
)
