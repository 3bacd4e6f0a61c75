"""What became of an event: every time it was published, and the verdict on each (DESIGN section 1, sentence 5)."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection

from projections.event_index.queries import positions_of
from projections.judged import Verdict, verdict
from schemas.envelope import Position

INDEX: Final = "event_index"


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


def event_status(
    connection: Connection, source: str, event_id: str, remembered: Collection[Published] = ()
) -> EventStatus | None:
    """What is known within a snapshot over ``INDEX``; None when the event was never seen (the index goes back 30 days)."""
    found: list[tuple[Position, str, str, datetime | None]] = [
        (one.position, one.type, one.subject, one.appended_at)
        for one in positions_of(connection, source, event_id)
    ]
    indexed = {position for position, *_ in found}
    found += [
        (one.position, one.type, one.subject, None) for one in remembered if one.position not in indexed
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
