"""Tables of the uploads projection; the schema name is a placeholder for a generation's schema.

The repository belongs to the key: it decides the partition, and two partitions may state one upload id, whose rows would otherwise
depend on which is read first. An upload that is only named by another one's publication has a row without ``uploaded_at``.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

METADATA = MetaData(schema="uploads")

_VISIBLE: Final = "state = 'completed' and published_at is not null and replaced_by is null"
_OPEN: Final = (
    "uploaded_at is not null and (state in ('uploading', 'queued', 'processing', 'errored', 'deleting')"
    " or (state = 'completed' and (published_at is null or replaced_by is not null)))"
)
"""Something is still to be done with it: what the agent looks for."""

UPLOADS = Table(
    "lsif_uploads",
    METADATA,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("commit", Text),
    Column("root", Text),
    Column("indexer", Text),
    Column("indexer_version", Text),
    Column("content_type", Text, comment="scip or lsif"),
    Column("uploaded_by", Text),
    Column("uploaded_at", DateTime(timezone=True)),
    Column("state", Text),
    Column("state_reason", Text, comment="of the last change"),
    Column("state_changed_at", DateTime(timezone=True)),
    Column("state_position", Text, comment="where the last change lies"),
    Column("queued_at", DateTime(timezone=True), comment="the first time"),
    Column("process_after", DateTime(timezone=True), comment="an errored one is due again then"),
    Column("started_at", DateTime(timezone=True), comment="the last time that it began to be processed"),
    Column("finished_at", DateTime(timezone=True), comment="completed or failed"),
    Column("num_failures", Integer, comment="attempts that came to nothing"),
    Column("failure_message", Text),
    Column("failure_code", Text),
    Column("failure_document", Text),
    Column("failure_byte_offset", BigInteger),
    Column("upload_size", BigInteger, comment="bytes as uploaded"),
    Column("blob_uri", Text),
    Column("blob_sha256", Text),
    Column("uncompressed_size", BigInteger),
    Column("num_documents", BigInteger),
    Column("num_symbols", BigInteger),
    Column("num_occurrences", BigInteger),
    Column("num_packages", BigInteger),
    Column("tool_name", Text),
    Column("tool_version", Text),
    Column("text_document_encoding", Text),
    Column("manifest_uri", Text),
    Column("manifest_size", BigInteger),
    Column("manifest_sha256", Text),
    Column("published_at", DateTime(timezone=True)),
    Column("replaced_by", BigInteger),
    Column(
        "content_removed_at", DateTime(timezone=True), comment="nothing of a deleted one is kept any more"
    ),
    Column("visible", Boolean, Computed(f"coalesce({_VISIBLE}, false)", persisted=True)),
    Index("lsif_uploads_id", "id"),
    Index("lsif_uploads_open", "id", postgresql_where=text(_OPEN)),
    Index("lsif_uploads_key", "repository_id", "commit", "root", "indexer"),
    Index(
        "lsif_uploads_left",
        "id",
        postgresql_where=text("state = 'deleted' and content_removed_at is null"),
    ),
    comment="Uploads by repository and id; a deleted one keeps its row (a tombstone)",
)

AUDIT_LOGS = Table(
    "lsif_uploads_audit_logs",
    METADATA,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("upload_id", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("operation", Text, comment="create, modify, indexed, published or content_removed"),
    Column("from_state", Text),
    Column("to_state", Text),
    Column("reason", Text),
    Column("attempt", Integer),
    Column("log_timestamp", DateTime(timezone=True)),
    Column("appended_at", DateTime(timezone=True)),
    Column("source", Text),
    Column("event_id", Text),
    comment="Every change of an upload, in its order, with its reason",
)
OPEN: Final = text(_OPEN)
