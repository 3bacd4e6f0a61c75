"""What became of an event: every time it was published, and the verdict on each (DESIGN section 1, sentence 5)."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from projections.event_index.queries import positions_of
from projections.judged import Verdict, verdict
from projections.repositories.queries import by_ids
from schemas.envelope import Position

INDEX: Final = "event_index"
INDEX_DAYS: Final = 30
"""How far back it knows the ids of events."""
READ: Final = frozenset({INDEX, "repositories"})
"""What a snapshot has to hold for these questions."""


class About(Protocol):
    """What is about a repository; 0: about none."""

    @property
    def repository_id(self) -> int: ...


T = TypeVar("T", bound=About)


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """One time that an event came onto the log. ``appended_at`` is the broker's time (None: not indexed yet)."""

    position: Position
    type: str
    subject: str
    appended_at: datetime | None
    verdict: Verdict


class EventStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An event by (source, id). ``publications`` in the order of append, never empty: a repeat is judged by itself."""

    source: str
    id: str
    publications: list[Publication]

    @property
    def newest(self) -> Publication:
        """The last publication: its verdict is what the event's publisher waits for."""
        return self.publications[-1]

    @property
    def version(self) -> int | None:
        """The aggregate's version with this event: of a duplicate, that of the event which it repeats."""
        newest = self.newest.verdict
        at = newest.of or self.newest.position
        return next((one.verdict.version for one in self.publications if one.position == at), None)


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge remembers of an event that it put on the log and that may not be indexed yet."""

    position: Position
    type: str
    subject: str
    repository_id: int = 0


def told(connection: Connection, events: Iterable[T], *, everything: bool) -> list[T]:
    """Those of which the one who asks may know: unless ``everything``, none about a repository that is not there for him.

    Row security hides the events of a repository that he may not see; what was said about one that nobody registered is left out
    too, or the two could be told apart.
    """
    found = list(events)
    if everything:
        return found
    about = {one.repository_id for one in found} - {0}
    seen = {0, *(by_ids(connection, about) if about else ())}
    return [one for one in found if one.repository_id in seen]


def event_status(
    connection: Connection,
    source: str,
    event_id: str,
    remembered: Collection[Published] = (),
    *,
    everything: bool,
) -> EventStatus | None:
    """What is known within a snapshot over ``READ``; None when the event was never seen (the index goes back 30 days).

    ``everything``: also of repositories that are not registered, for site admins.
    """
    indexed = told(connection, positions_of(connection, source, event_id), everything=everything)
    found: list[tuple[Position, str, str, datetime | None]] = [
        (one.position, one.type, one.subject, one.appended_at) for one in indexed
    ]
    known = {one.position for one in indexed}
    found += [
        (one.position, one.type, one.subject, None)
        for one in told(connection, remembered, everything=everything)
        if one.position not in known
    ]
    publications = [
        Publication(
            position=position,
            type=type_name,
            subject=subject,
            appended_at=appended_at,
            verdict=verdict(connection, position, (source, event_id)),
        )
        for position, type_name, subject, appended_at in found
    ]
    return EventStatus(source=source, id=event_id, publications=publications) if publications else None
