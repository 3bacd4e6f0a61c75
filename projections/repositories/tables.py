"""Table of the repositories projection; the schema name is a placeholder for a generation's schema."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Table, Text

METADATA = MetaData(schema="repositories")

REPO_NAMES = Table(
    "repo_names",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("path", Text),
    Column("clone_url", Text),
    Column("fork", Boolean, nullable=False, server_default="false"),
    Column("archived", Boolean, nullable=False, server_default="false"),
    Column("private", Boolean, nullable=False, server_default="false"),
    Column("default_branch", Text),
    Column("tip", Text),
    Column("shallow", Boolean, nullable=False, server_default="false"),
    Column("registered_at", DateTime(timezone=True)),
    Column("registered_position", Text),
    Column("removed_at", DateTime(timezone=True)),
    Column("clone_state", Text, nullable=False, server_default="waiting"),
    Column("clone_error", Text),
    Column("pushed_offset", BigInteger),
    Column("refs_fingerprint", Text),
    Index("repo_names_name", "name"),
    comment="Repositories by id; a removed one keeps its row (a tombstone)",
)
