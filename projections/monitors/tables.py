"""Tables of the monitors projection; the schema name is a placeholder for a generation's schema.

Every column has one topic that writes it. An edit replaces all actions of a monitor: a row belongs to it while its
``defined_offset`` is the monitor's, the others are tombstones. A position belongs to one beginning of its monitor (``begun``) and of the match
(``since``): what begins at the present again leaves its old positions behind. Rows of runs and actions are removed by
``trigger.pruned`` alone.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.schema import SchemaItem

METADATA = MetaData(schema="monitors")

MONITORS = Table(
    "cm_monitors",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("description", Text),
    Column("owner", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("created_position", Text),
    Column("changed_at", DateTime(timezone=True)),
    Column("changed_by", Text),
    Column("enabled", Boolean),
    Column("defined_offset", BigInteger, comment="of the event that named all of its actions last"),
    Column("begun_offset", BigInteger, comment="of the event with which it began at the present"),
    Column("begun_at", DateTime(timezone=True), comment="append time of that event"),
    Column("deleted_at", DateTime(timezone=True)),
    comment="Code monitors; a deleted one keeps its row (a tombstone)",
)

QUERIES = Table(
    "cm_queries",
    METADATA,
    Column("monitor", BigInteger, primary_key=True, autoincrement=False),
    Column("query", Text),
    Column("changed_at", DateTime(timezone=True)),
    comment="The trigger of each monitor",
)


def _action(name: str, comment: str, *columns: SchemaItem) -> Table:
    return Table(
        name,
        METADATA,
        Column("monitor", BigInteger, primary_key=True, autoincrement=False),
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("place", Integer, comment="among all actions of the monitor"),
        Column("enabled", Boolean),
        Column("include_results", Boolean),
        Column("defined_offset", BigInteger),
        *columns,
        comment=comment,
    )


def _webhook(name: str, comment: str) -> Table:
    return _action(
        name,
        comment,
        Column("url_ref", Text, comment="where the vault has the address"),
        Column("url_fingerprint", Text),
        Column("host", Text),
        Column("signing_ref", Text),
        Column("signing_fingerprint", Text),
        Column(
            "disabled_offset",
            BigInteger,
            comment="of the newest definition that the receiver wants no more of",
        ),
        Column("disabled_message", Text),
    )


EMAILS = _action("cm_emails", "E-mail actions", Column("priority", Text), Column("header", Text))
WEBHOOKS = _webhook("cm_webhooks", "Webhook actions")
SLACK_WEBHOOKS = _webhook("cm_slack_webhooks", "Slack actions")

RECIPIENTS = Table(
    "cm_recipients",
    METADATA,
    Column("monitor", BigInteger, primary_key=True, autoincrement=False),
    Column("email", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace_user", Text, primary_key=True),
    Column("place", Integer),
    Column("defined_offset", BigInteger),
    comment="Who gets the mails of an e-mail action, by user name",
)

_JOB_STATE: Final = """
case
  when evaluated_at is null then 'processing'
  when status in ('completed', 'hidden', 'superseded') then 'completed'
  else 'failed'
end
"""

TRIGGER_JOBS = Table(
    "cm_trigger_jobs",
    METADATA,
    Column("monitor", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("moment", Text, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("cause", Text),
    Column("pushed_offset", BigInteger),
    Column("fired_at", DateTime(timezone=True)),
    Column("fired_appended_at", DateTime(timezone=True)),
    Column("evaluated_at", DateTime(timezone=True)),
    Column("evaluated_appended_at", DateTime(timezone=True)),
    Column("evaluated_position", Text),
    Column("status", Text),
    Column("query_string", Text),
    Column("search_results", LargeBinary, comment="JSON: commits, paths, ranges, counts"),
    Column("result_count", BigInteger),
    Column("match_count", BigInteger),
    Column("blob", LargeBinary, comment="JSON: where the results stand whole"),
    Column("deliveries", LargeBinary, comment="JSON: what has to be sent"),
    Column("delivery_count", Integer),
    Column("logs", LargeBinary, comment="JSON: warnings"),
    Column("failure_reason", Text),
    Column("failure_message", Text),
    Column("state", Text, Computed(_JOB_STATE, persisted=True)),
    Index("cm_trigger_jobs_open", "fired_appended_at", postgresql_where=text("evaluated_at is null")),
    Index("cm_trigger_jobs_failed", "monitor", "repository_id", postgresql_where=text("status = 'failed'")),
    Index("cm_trigger_jobs_newest", "monitor", text("fired_appended_at desc")),
    Index("cm_trigger_jobs_events", "monitor", text("fired_appended_at desc"),
          postgresql_where=text("result_count > 0")),
    comment="Runs of monitors: one monitor, one repository, one push",
)  # fmt: skip

_ACTION_STATE: Final = """
case
  when succeeded_at is not null then 'completed'
  when failed_final then 'failed'
  when failed_attempt >= attempt then 'errored'
  else 'queued'
end
"""

ACTION_JOBS = Table(
    "cm_action_jobs",
    METADATA,
    Column("monitor", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("trigger_event", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("repository_id", BigInteger),
    Column("delivery_id", Text),
    Column("since", DateTime(timezone=True)),
    Column("attempt", Integer, comment="the newest one that was asked for"),
    Column("requested_at", DateTime(timezone=True), comment="append time of that request"),
    Column("requested_position", Text),
    Column("succeeded_at", DateTime(timezone=True)),
    Column("succeeded_attempt", Integer),
    Column("message", Text),
    Column("failed_at", DateTime(timezone=True)),
    Column("failed_attempt", Integer),
    Column("failed_final", Boolean),
    Column("failure_reason", Text),
    Column("failure_message", Text),
    Column("process_after", DateTime(timezone=True)),
    Column("state", Text, Computed(_ACTION_STATE, persisted=True)),
    Index("cm_action_jobs_event", "monitor", "trigger_event"),
    Index("cm_action_jobs_waiting", "process_after", postgresql_where=text("state = 'errored'")),
    Index("cm_action_jobs_queued", "requested_at", postgresql_where=text("state = 'queued'")),
    comment="One thing to send for one event of a monitor",
)

LAST_SEARCHED = Table(
    "cm_last_searched",
    METADATA,
    Column("monitor_id", BigInteger, primary_key=True, autoincrement=False),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("begun", BigInteger, primary_key=True, autoincrement=False),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("base_oids", ARRAY(Text), comment="tips that counted as searched before the first outcome"),
    Column(
        "commit_oids", ARRAY(Text), comment="tips that the last outcome that counts searched; null: none yet"
    ),
    Column("searched_offset", BigInteger, comment="the newest push that an outcome covers"),
    comment="Where each monitor is in each repository",
)

REPOSITORIES = Table(
    "cm_repositories",
    METADATA,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("pushed_partition", Integer),
    Column("pushed_offset", BigInteger),
    Column("pushed_at", DateTime(timezone=True), comment="append time of the newest push"),
    Column("default_branch", Text),
    Column("tip", Text),
    Column("previous_tip", Text),
    Column("refs_fingerprint", Text),
    Index("cm_repositories_pushed", "pushed_at"),
    comment="The newest push of each repository",
)

IDENTITIES = Table(
    "cm_repository_identities",
    METADATA,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), nullable=False, comment="append time"),
    Column("name", Text, comment="null: as before"),
    Column("fork", Boolean),
    Column("archived", Boolean),
    Column("removed", Boolean),
    Column("pushed_offset", BigInteger, comment="of the first push behind it, before the next row's"),
    comment="What was said of each repository that decides which monitors match it",
)
