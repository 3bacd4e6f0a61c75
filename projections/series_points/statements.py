"""Raw statements over this projection's tables, in the generation's schema."""

from sqlalchemy import Connection

from projections.series_points.tables import SERIES_COVERAGE, SERIES_PLANNED


def placed(connection: Connection, statement: str) -> str:
    """``statement`` with the placeholder schema replaced, as SQLAlchemy does for its own statements."""
    places = connection.get_execution_options().get("schema_translate_map", {})
    schema = places.get(SERIES_COVERAGE.schema, SERIES_PLANNED.schema)
    return statement.replace("series_points.series_", f'"{schema}".series_')
