"""Custom scalars."""

from datetime import UTC, datetime

from ariadne import ScalarType
from graphql import GraphQLError

date_time = ScalarType("DateTime")


def rfc3339(instant: datetime) -> str:
    """``2026-11-01T00:00:00Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


@date_time.serializer
def _serialize(value: object) -> str:
    if not isinstance(value, datetime):
        raise GraphQLError(f"{value!r} is no moment")
    return rfc3339(value)


@date_time.value_parser
def _parse(value: object) -> datetime:
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise GraphQLError(f"{value!r} is no moment in RFC 3339 with a time zone")
    return parsed
