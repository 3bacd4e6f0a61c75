"""Tables of the insights projection; the schema name is a placeholder for a generation's schema."""

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text

METADATA = MetaData(schema="insights")

INSIGHT_VIEW = Table(
    "insight_view",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("title", Text),
    Column("description", Text),
    Column("creator", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("created_position", Text),
    Column("frames", Integer),
    Column("deleted_at", DateTime(timezone=True)),
    comment="One chart",
)

INSIGHT_SERIES = Table(
    "insight_series",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("query", Text, nullable=False),
    Column("sample_interval_unit", Text, nullable=False),
    Column("sample_interval_value", Integer, nullable=False),
    Column("generation_method", Text, nullable=False),
    Column("pattern_type", Text, nullable=False),
    Column("repositories", ARRAY(BigInteger)),
    Column("repository_criteria", Text),
    Column("group_by", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    comment="What is counted; views with equal definitions share the row, and the points",
)

INSIGHT_VIEW_SERIES = Table(
    "insight_view_series",
    METADATA,
    Column("insight_view_id", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("insight_series_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("stroke", Text),
    Index("insight_view_series_series", "insight_series_id"),
    comment="The lines of a chart, in order; one series may be drawn twice under two labels",
)

INSIGHT_BACKFILL = Table(
    "insight_backfill",
    METADATA,
    Column("insight_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, primary_key=True),
    Column("cause", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("planned_at", DateTime(timezone=True), nullable=False),
    comment="Parts of backfill plans that have been seen",
)
