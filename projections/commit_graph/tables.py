"""Tables of the commit graph; the schema name is a placeholder for a generation's schema.

The first five hold what events said, ``lsif_dirty_repositories`` what of it the last three do not show yet.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from projections.dirt import dirty_table
from schemas.topics import Topic

METADATA = MetaData(schema="commit_graph")
KEY: Final = "repository_id"


def _repository() -> Column[int]:
    return Column(KEY, BigInteger, primary_key=True, autoincrement=False)


GRAPHS = Table(
    "lsif_commit_graphs",
    METADATA,
    _repository(),
    Column("removed", Boolean, comment="from repositories: it is not followed any more"),
    Column("pushed_offset", BigInteger, comment="of the newest repository.pushed"),
    Column("pushed_position", Text),
    Column("pushed_at", DateTime(timezone=True), comment="append time of that push"),
    Column("covered_offset", BigInteger, comment="of the push that the newest whole look answers"),
    Column("covered_look", Text),
    Index(
        "lsif_commit_graphs_uncovered", KEY, postgresql_where="pushed_offset > coalesce(covered_offset, -1)"
    ),
    comment="Repositories, their newest push, and how far their commits are told of",
)

LOOKS = Table(
    "lsif_commit_looks",
    METADATA,
    _repository(),
    Column("pushed_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("look_id", Text, primary_key=True),
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("batches", Integer, nullable=False),
    Column("boundary", Text, nullable=False),
    comment="Parts of looks at clones: the newest whole look and those after it",
)

REFS = Table(
    "lsif_refs",
    METADATA,
    _repository(),
    Column("pushed_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("look_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("tip", LargeBinary, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("committed_at", DateTime(timezone=True), nullable=False),
    comment="Branches and tags as these looks found them",
)

COMMITS = Table(
    "lsif_commits",
    METADATA,
    _repository(),
    Column("commit_bytea", LargeBinary, primary_key=True),
    Column("parents", LargeBinary, comment="their ids, one after the other, each as long as the commit's"),
    Column("committed_at", DateTime(timezone=True)),
    Column("known", SmallInteger, comment="0: cut off from its parents, as in a shallow clone; 1: with them"),
    comment="Every commit that was ever told of",
)

UPLOADS = Table(
    "lsif_graph_uploads",
    METADATA,
    _repository(),
    Column("upload_id", BigInteger, primary_key=True, autoincrement=False),
    Column("commit_bytea", LargeBinary),
    Column("root", Text),
    Column("indexer", Text),
    Column("published_at", DateTime(timezone=True), comment="append time of the first upload.published"),
    Column("replaced_by", BigInteger),
    Column("gone", Boolean, comment="it was DELETING or DELETED"),
    Index("lsif_graph_uploads_commit", KEY, "commit_bytea"),
    comment="Uploads that were published, replaced or deleted; visible: published and neither of the others",
)

DIRTY = dirty_table(
    "lsif_dirty_repositories", METADATA, KEY, (Topic.REPOSITORIES, Topic.COMMITS, Topic.UPLOADS)
)

NEAREST = Table(
    "lsif_nearest_uploads",
    METADATA,
    _repository(),
    Column("commit_bytea", LargeBinary, primary_key=True),
    Column("uploads", JSONB, nullable=False, comment="upload id to distance"),
    comment="Derived: what is visible at commits that have a row of their own",
)

LINKS = Table(
    "lsif_nearest_uploads_links",
    METADATA,
    _repository(),
    Column("commit_bytea", LargeBinary, primary_key=True),
    Column("ancestor_commit_bytea", LargeBinary, nullable=False),
    Column("distance", Integer, nullable=False),
    comment="Derived: commits that see what an ancestor sees, so many commits further away",
)

AT_TIP = Table(
    "lsif_uploads_visible_at_tip",
    METADATA,
    _repository(),
    Column("upload_id", BigInteger, primary_key=True, autoincrement=False),
    Column("commit_bytea", LargeBinary, primary_key=True, comment="the tip"),
    Column("branch_or_tag_name", Text, nullable=False, comment="of all refs at this tip that count"),
    Column("is_default_branch", Boolean, nullable=False),
    comment="Derived: what is visible at the tips of refs that count",
)
