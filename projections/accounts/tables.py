"""Tables of the accounts projection; the schema name is a placeholder for a generation's schema.

No address and no token is here: of an address the name under which the vault keeps it, of a token its hash.
"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Table, Text

METADATA = MetaData(schema="accounts")

USERS = Table(
    "users",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("username", Text),
    Column("display_name", Text, comment="sealed with the user's key"),
    Column("email_ref", Text, comment="the name of the address in the vault"),
    Column("email_fingerprint", Text),
    Column("site_admin", Boolean, nullable=False, server_default="false"),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("position", Text, comment="of the event that created it"),
    Column("deleted_at", DateTime(timezone=True)),
    Index("users_username", "username"),
    comment="People and programs with an account; a closed one keeps its row (a tombstone)",
)

ORGS = Table(
    "orgs",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("display_name", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("deleted_at", DateTime(timezone=True)),
    Index("orgs_name", "name"),
    comment="Organisations; one that is no more keeps its row",
)

ORG_MEMBERS = Table(
    "org_members",
    METADATA,
    Column("org_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("is_member", Boolean, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, comment="of the last change"),
    Index("org_members_user", "user_id"),
    comment="Who belongs to which organisation, and who did",
)

ACCESS_TOKENS = Table(
    "access_tokens",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger),
    Column("token_sha256", Text),
    Column("scopes", Text, comment="separated by commas"),
    Column("note", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Index("access_tokens_hash", "token_sha256"),
    Index("access_tokens_user", "user_id"),
    comment="Tokens by which programs act for users, revoked ones too",
)
