"""Tables of the access projection; the schema name is a placeholder for a generation's schema.

They answer for whom row security hides what, so they are under none themselves: only ``projections.access.queries`` reads them.
"""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="access")

PERMISSIONS = Table(
    "repo_permissions",
    METADATA,
    Column("repo", BigInteger, primary_key=True, autoincrement=False),
    Column("restricted", Boolean, nullable=False, comment="whether only the readers that are listed see it"),
    Column("change", Text, nullable=False, comment="which change of permissions holds"),
    Column("parts", Integer, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("repo_permissions_restricted", "repo", postgresql_where="restricted"),
    comment="Repositories whose permissions were ever laid down; everybody sees the others",
)

CHANGES = Table(
    "repo_changes",
    METADATA,
    Column("repo", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    comment="Changes of permissions that were said, by source and id: what is said again changes nothing",
)

READERS = Table(
    "repo_readers",
    METADATA,
    Column("repo", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("change", Text, nullable=False, comment="counts only while the repository has the same"),
    Column("users", ARRAY(BigInteger), nullable=False),
    Index("repo_readers_users", "users", postgresql_using="gin"),
    comment="Who sees restricted repositories, in the parts in which it was said",
)

PEOPLE = Table(
    "people",
    METADATA,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("site_admin", Boolean, nullable=False, server_default="false"),
    Column("deleted", Boolean, nullable=False, server_default="false"),
    comment="Accounts, as far as they decide who sees what: a site admin sees everything, a closed account nothing restricted",
)
