"""What a caller who is no site admin may state through ``POST /events``. What the mutations refuse, events do not get around."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection
from starlette.responses import Response

from api.auth.user import User
from api.http.refusals import event_errors
from projections.event_index.fold import repository_of
from projections.insights import queries as insights
from projections.monitors.queries import definitions as monitors
from projections.reading import Reader
from projections.repositories.queries import by_ids
from schemas.envelope import Event
from schemas.events import MonitorCreated
from schemas.registry import Payload
from schemas.topics import Topic

READ: Final = frozenset({"repositories", "insights", "monitors"})
AUTHORS: Final = (
    "creator",
    "owner",
    "created_by",
    "changed_by",
    "deleted_by",
    "revoked_by",
    "requested_by",
    "ordered_by",
    "uploaded_by",
    "sent_by",
)
"""Fields of payloads that say who did it: nobody speaks in another's name."""


def not_permitted(events: Sequence[Event], user: User, reader: Reader) -> Response | None:
    """The refusal, or None. Raises SQLAlchemyError, NotProjected."""
    if user.site_admin:
        return None
    for event in events:
        if event.type.administers:
            return _forbidden(f"Only a site admin may state {event.type.name}.")
        if any(author != user.name for author in _authors(event.data)):
            return _forbidden(f"Only a site admin may state {event.type.name} in the name of somebody else.")
    with reader.snapshot(READ, viewer=user.viewer) as snapshot:
        return _not_there(snapshot.connection, events) or _of_others(snapshot.connection, events, user)


def _not_there(connection: Connection, events: Sequence[Event]) -> Response | None:
    """A repository that is hidden from the caller is answered like one that nobody registered."""
    about = {repository_of(event.type.topics[0], event.key) for event in events} - {0}
    missing = sorted(about - by_ids(connection, about).keys()) if about else []
    if not missing:
        return None
    return event_errors(
        404, "NOT_FOUND", f"There is no repository {missing[0]}.", "Register it first: millstream repo add."
    )


def _of_others(connection: Connection, events: Sequence[Event], user: User) -> Response | None:
    """What somebody made is changed by him, and by site admins."""
    made_here: set[int] = set()
    for event in events:
        if event.type.topics[0] is Topic.MONITORS:
            number = int(event.key)
            if not _is_own(connection, number, made_here, event.data, user):
                return _no_monitor(number)
        if event.type.topics[0] is not Topic.INSIGHTS or "creator" in event.data.__struct_fields__:
            continue
        made = insights.view(connection, int(event.key))
        if made is not None and made.creator != user.name:
            return _forbidden(f"Only {made.creator or 'a site admin'} may change this insight.")
    return None


def _is_own(connection: Connection, number: int, made_here: set[int], data: Payload, user: User) -> bool:
    """A monitor of somebody else is for the caller as one that nobody made; ``made_here``: by events before, in the same request."""
    owned = monitors.by_ids(connection, [number]).get(number)
    if owned is not None:
        return owned.owner == user.name
    if isinstance(data, MonitorCreated):
        made_here.add(number)
    return number in made_here


def _no_monitor(number: int) -> Response:
    return event_errors(
        404,
        "NOT_FOUND",
        f"There is no code monitor {number}.",
        "Create it first; one that was created a moment ago is there when its event is judged (GET /events, wait=5).",
    )


def _authors(data: Payload) -> list[object]:
    return [getattr(data, name) for name in AUTHORS if name in data.__struct_fields__]


def _forbidden(message: str) -> Response:
    return event_errors(403, "NOT_PERMITTED", message, "Ask a site admin to do it.")
