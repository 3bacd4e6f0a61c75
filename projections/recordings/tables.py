"""Table of the recordings projection; the schema name is a placeholder for a generation's schema.

The repository belongs to the key: it decides the partition, and two partitions may state one request id, whose
rows would otherwise depend on which is read first. Every column has one topic that writes it; ``state`` is computed from them, so that the order in which the
topics are read cannot be seen.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData(schema="recordings")

_STATE: Final = """
case
  when completed_at is not null then 'completed'
  when failed_final then 'failed'
  when dispatched_attempt is not null and dispatched_attempt > coalesce(failed_attempt, 0) then 'processing'
  when failed_attempt is not null then 'errored'
  else 'queued'
end
"""

JOBS = Table(
    "insights_query_runner_jobs",
    METADATA,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", Text, primary_key=True),
    # written by millstream.recordings
    Column("insight_id", BigInteger),
    Column("creator", Text),
    Column("lane", Text),
    Column("priority", Integer),
    Column("cost", Float(53)),
    Column("request", LargeBinary),
    Column("split", Integer),
    Column("of", Integer),
    Column("requested_at", DateTime(timezone=True)),
    Column("requested_position", Text),
    # written by millstream.work.*: bookkeeping
    Column("dispatched_at", DateTime(timezone=True)),
    Column("dispatched_attempt", Integer),
    Column("deadline", DateTime(timezone=True)),
    # written by millstream.results
    Column("completed_at", DateTime(timezone=True)),
    Column("completed_attempt", Integer),
    Column("failed_at", DateTime(timezone=True)),
    Column("failed_attempt", Integer),
    Column("failed_final", Boolean),
    Column("failed_reason", Text),
    Column("failed_message", Text),
    Column("state", Text, Computed(_STATE, persisted=True)),
    Index("insights_query_runner_jobs_open", "lane", "priority", "requested_at", "request_id",
          postgresql_where="completed_at is null and failed_final is not true"),
    Index("insights_query_runner_jobs_insight", "insight_id"),
    comment="One request to count series in one repository",
)  # fmt: skip

BOOKKEEPING: Final = frozenset(("dispatched_at", "dispatched_attempt", "deadline", "state"))
"""Columns that depend on topics which expire."""
