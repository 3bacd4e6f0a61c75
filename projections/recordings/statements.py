"""Raw statements over this projection's tables, in the generation's schema."""

from sqlalchemy import Connection

from projections.recordings.tables import METADATA


def placed(connection: Connection, statement: str) -> str:
    """``statement`` with the placeholder schema (``recordings.``) replaced, as SQLAlchemy does for its own."""
    places = connection.get_execution_options().get("schema_translate_map", {})
    schema = places.get(METADATA.schema, METADATA.schema)
    return statement.replace("recordings.insight", f'"{schema}".insight')
