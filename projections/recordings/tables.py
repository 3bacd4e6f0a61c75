"""Tables of the recordings projection; the schema name is a placeholder for a generation's schema.

The repository belongs to the key of a job: it decides the partition, and two partitions may state one request id, whose
rows would otherwise depend on which is read first. Every column has one topic that writes it; ``state`` and ``waiting``
are computed from them, so that the order in which the topics are read cannot be seen. What people decided about an
insight's backfill is a row of its own: it meets the jobs at read.
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
    text,
)

METADATA = MetaData(schema="recordings")

_TRIED: Final = "greatest(coalesce(failed_attempt, 0), coalesce(renewed_attempt, 1) - 1)"
"""The greatest attempt that is over without a result: it failed, or nothing came of it in time."""
_OPEN: Final = "completed_at is null and failed_final is not true"
_STATE: Final = f"""
case
  when completed_at is not null then 'completed'
  when failed_final or gave_up_attempts is not null then 'failed'
  when dispatched_attempt > {_TRIED} then 'processing'
  when {_TRIED} > 0 then 'errored'
  else 'queued'
end
"""
_WAITING: Final = f"""
requested_appended_at is not null and {_OPEN} and gave_up_attempts is null
  and coalesce(dispatched_attempt, 0) <= {_TRIED}
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
    Column("requested_appended_at", DateTime(timezone=True)),
    Column("requested_position", Text),
    Column("renewed_attempt", Integer, comment="do it again as this attempt: what was owed did not come in time"),
    Column("gave_up_attempts", Integer, comment="nothing is tried any more after so many"),
    Column("gave_up_reason", Text),
    Column("gave_up_message", Text),
    # written by millstream.work.*: bookkeeping
    Column("dispatched_at", DateTime(timezone=True)),
    Column("dispatched_attempt", Integer),
    Column("dispatched_position", Text),
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
    Column("waiting", Boolean, Computed(_WAITING, persisted=True)),
    # In the order of dispatch within (lane, creator, insight), so that picking reads what it takes.
    Index("insights_query_runner_jobs_waiting", "lane", text('creator collate "C"'), "insight_id", "priority",
          "requested_appended_at", text('request_id collate "C"'), "repository_id", postgresql_where=text("waiting")),
    Index("insights_query_runner_jobs_processing", "deadline", postgresql_where=text("state = 'processing'")),
    Index("insights_query_runner_jobs_given_up", "repository_id",
          postgresql_where=text(f"gave_up_attempts is not null and {_OPEN}")),
    Index("insights_query_runner_jobs_insight", "insight_id"),
    comment="One request to count series in one repository",
)  # fmt: skip

CONTROLS = Table(
    "insight_backfill_controls",
    METADATA,
    Column("insight_id", BigInteger, primary_key=True, autoincrement=False),
    Column("paused", Boolean),
    Column("paused_at", DateTime(timezone=True), comment="append time of the last pause or resumption"),
    Column("cancelled_at", DateTime(timezone=True), comment="what was appended until then is not counted"),
    Column("moved_to", Text),
    Column(
        "moved_offset", BigInteger, comment="of the last move: newer ones go before, or after, older ones"
    ),
    Column("deleted_at", DateTime(timezone=True)),
    comment="What people decided about the counting of an insight's past",
)

BOOKKEEPING: Final = frozenset(
    ("dispatched_at", "dispatched_attempt", "dispatched_position", "deadline", "state", "waiting")
)
"""Columns that depend on topics which expire."""
