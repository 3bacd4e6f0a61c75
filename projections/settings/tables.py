"""Table of the settings projection; the schema name is a placeholder for a generation's schema."""

from sqlalchemy import Column, DateTime, Float, MetaData, Table, Text

METADATA = MetaData(schema="settings")

SITE_SETTINGS = Table(
    "site_settings",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Float(53)),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("position", Text, nullable=False),
    comment="Settings that were ever changed; a null value gave back the default",
)
