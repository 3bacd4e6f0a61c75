"""``eventStatus``: what became of an event."""

from ariadne import ObjectType, QueryType

from api.commands.errors import InputRefused
from api.event_status import EventStatus, Publication, event_status
from api.graphql.types.info import Info, operation_of

query = QueryType()
status_type = ObjectType("EventStatus")
publication_type = ObjectType("EventPublication")


@query.field("eventStatus")
def resolve_status(
    _: object,
    info: Info,
    source: str,
    id: str,  # noqa: A002 - as the event calls it
    min_position: list[str] | None = None,
) -> EventStatus | None:
    for field, text in (("source", source), ("id", id)):
        if "\0" in text:
            raise InputRefused(
                field,
                f"the {field} has a NUL character: no event has such a one",
                remedy="Give it as the event has it.",
            )
    operation = operation_of(info)
    return event_status(operation.reads.snapshot.connection, source, id, everything=operation.user.site_admin)


@status_type.field("type")
def resolve_type(status: EventStatus, _: Info) -> str:
    return status.newest.type


@status_type.field("subject")
def resolve_subject(status: EventStatus, _: Info) -> str:
    return status.newest.subject


@status_type.field("state")
@publication_type.field("state")
def resolve_state(one: EventStatus | Publication, _: Info) -> str:
    return _publication(one).verdict.state


@status_type.field("version")
@publication_type.field("version")
def resolve_version(one: EventStatus | Publication, _: Info) -> int | None:
    return one.version if isinstance(one, EventStatus) else one.verdict.version


@status_type.field("reason")
@publication_type.field("reason")
def resolve_reason(one: EventStatus | Publication, _: Info) -> str | None:
    return _publication(one).verdict.reason or None


@status_type.field("duplicateOf")
@publication_type.field("duplicateOf")
def resolve_duplicate_of(one: EventStatus | Publication, _: Info) -> str | None:
    of = _publication(one).verdict.of
    return None if of is None else str(of)


@publication_type.field("position")
def resolve_position(one: Publication, _: Info) -> str:
    return str(one.position)


def _publication(one: EventStatus | Publication) -> Publication:
    return one.newest if isinstance(one, EventStatus) else one


bindables = [query, status_type, publication_type]
