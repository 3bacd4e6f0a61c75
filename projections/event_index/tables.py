"""Table of the event_index projection; the schema name is a placeholder for a generation's schema.

One row per record that has an envelope, whatever became of it. The primary key is the only index that costs: its leading
number is a hash of the id, so that it also finds an event. A second index finds what an event caused: events name their
cause by id, and a hash of that costs a third of the id itself.
"""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="event_index")

EVENTS = Table(
    "events",
    METADATA,
    Column("said", BigInteger, primary_key=True, autoincrement=False, comment="hash of the id"),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", Text, primary_key=True),
    Column("appended_at", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("cause", BigInteger, comment="hash of the id of the event that caused it"),
    Column(
        "repository_id",
        BigInteger,
        nullable=False,
        comment="the record key where that is a repository, else 0: row security goes by it",
    ),
    Index("events_cause", "cause", postgresql_where="cause is not null"),
    # A few bytes per megabyte: finds the oldest rows, which the horizon removes.
    Index(
        "events_appended_at", "appended_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}
    ),
    comment="Events on the log; rows older than 30 days are removed",
)
