"""Tables of the series_points projection; the schema name is a placeholder for a generation's schema.

A zero is not a row: ``series_coverage`` says which cells were counted, and a covered cell without a row is 0.
A cell is (series, repository, grid index); all its rows bear the rank of the one result that holds it.
"""

from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE, JSONB

METADATA = MetaData(schema="series_points")

SERIES_POINTS = Table(
    "series_points",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("capture", Text, primary_key=True, server_default=""),
    Column("value", Float(53), nullable=False),
    Column("commit", Text),
    Column("rank", BigInteger, nullable=False),
    comment="Nonzero counts; capture is empty when the series captures nothing",
)

SERIES_COVERAGE = Table(
    "series_coverage",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("rank", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", Text, nullable=False),
    Column("value", Integer, nullable=False),
    Column("cells", INT4MULTIRANGE, nullable=False),
    comment="Which cells have an outcome, by rank; a cell stands under one rank only, its greatest",
)

SERIES_PLANNED = Table(
    "series_planned",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", Text, nullable=False),
    Column("value", Integer, nullable=False),
    Column("cells", INT4MULTIRANGE, nullable=False),
    comment="Which cells are to be counted",
)

SERIES_FAILED = Table(
    "series_failed",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, primary_key=True),
    Column("cells", INT4MULTIRANGE, nullable=False),
    comment="Cells that could finally not be counted; read below coverage",
)

INCOMPLETE_POINTS = Table(
    "insight_series_incomplete_points",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("rank", BigInteger, nullable=False),
    comment="Cells whose value is a lower bound, and why",
)

SNAPSHOTS = Table(
    "series_points_snapshots",
    METADATA,
    Column("series_id", Text, primary_key=True),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    Column("captures", JSONB),
    Column("commit", Text),
    Column("pushed_offset", BigInteger, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("reason", Text),
    Column("counted_at", DateTime(timezone=True), nullable=False),
    Column("limits", Text),
    comment="The newest count: of the greatest push, then of the greatest rank; reason is set where it is a lower bound",
)
