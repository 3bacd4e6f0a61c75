"""``event``: one event followed through the whole system."""

from ariadne import ObjectType, QueryType

from api.commands.errors import InputRefused
from api.graphql.types.info import Info, operation_of
from api.tracing.asked import NotAsked, asked
from api.tracing.chain import Bounds
from api.tracing.trace import Due, Linked, Look, Trace
from api.tracing.tracer import status_of, trace

MAX_DEPTH = 20
MAX_EFFECTS = 200

query = QueryType()
trace_type = ObjectType("EventTrace")
record_type = ObjectType("EventRecord")
link_type = ObjectType("EventLink")
obligation_type = ObjectType("EventObligation")


@query.field("event")
def resolve_event(
    _: object,
    info: Info,
    id: str | None = None,  # noqa: A002 - as the event calls it
    source: str | None = None,
    position: str | None = None,
    depth: int = 6,
    first: int = 50,
    min_position: list[str] | None = None,
) -> Trace:
    operation = operation_of(info)
    try:
        wanted = asked(id, source, position)
    except NotAsked as error:
        raise InputRefused(error.field, str(error), remedy=error.remedy) from error
    _within("depth", depth, MAX_DEPTH)
    _within("first", first, MAX_EFFECTS)
    operation.check_time()
    if not operation.user.site_admin:
        return status_of(operation.reads.snapshot.connection, wanted)
    services = operation.services
    return trace(services.operating, services.log, wanted, Bounds(depth=depth, effects=first))


def _within(field: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise InputRefused(field, f"has to lie between 0 and {most}")


@trace_type.field("state")
@link_type.field("state")
def resolve_state(one: Trace | Linked, _: Info) -> str | None:
    return None if one.verdict is None else one.verdict.state


@trace_type.field("reason")
@link_type.field("reason")
def resolve_reason(one: Trace | Linked, _: Info) -> str | None:
    return None if one.verdict is None else one.verdict.reason or None


@trace_type.field("version")
def resolve_version(one: Trace, _: Info) -> int | None:
    return None if one.verdict is None else one.verdict.version


@trace_type.field("duplicateOf")
def resolve_duplicate_of(one: Trace, _: Info) -> str | None:
    return None if one.verdict is None or one.verdict.of is None else str(one.verdict.of)


@trace_type.field("position")
@link_type.field("position")
def resolve_position(one: Trace | Linked, _: Info) -> str | None:
    return None if one.position is None else str(one.position)


@trace_type.field("record")
def resolve_record(one: Trace, _: Info) -> Look | None:
    return one.look


@trace_type.field("projections")
def resolve_projections(one: Trace, _: Info) -> list[object]:
    return list(one.passages)


@trace_type.field("hasMoreEffects")
def resolve_more_effects(one: Trace, _: Info) -> bool:
    return one.more_effects


@trace_type.field("hasMoreOwed")
def resolve_more_owed(one: Trace, _: Info) -> bool:
    return one.more_owed


@record_type.field("headers")
def resolve_headers(one: Look, _: Info) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in one.headers]


@link_type.field("causedBy")
def resolve_caused_by(one: Linked, _: Info) -> str | None:
    return None if one.caused_by is None else str(one.caused_by)


@obligation_type.field("opened")
def resolve_opened(one: Due, _: Info) -> str | None:
    return None if one.opened is None else str(one.opened)


bindables = [query, trace_type, record_type, link_type, obligation_type]
