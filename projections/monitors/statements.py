"""Raw statements over this projection's tables, in the generation's schema."""

from sqlalchemy import Connection, TextClause, text

from projections.monitors.tables import METADATA


def placed(connection: Connection, statement: str) -> TextClause:
    """``statement`` with the placeholder schema (``monitors.``) replaced, as SQLAlchemy does for its own."""
    places = connection.get_execution_options().get("schema_translate_map", {})
    schema = places.get(METADATA.schema, METADATA.schema)
    return text(statement.replace("monitors.cm_", f'"{schema}".cm_'))
