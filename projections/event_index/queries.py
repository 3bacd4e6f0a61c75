"""Where an event stands on the log."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from projections.event_index.fold import said
from projections.event_index.tables import EVENTS
from schemas.envelope import Position


class IndexedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record with an envelope. ``subject`` is the record key where the envelope had none."""

    topic: str
    partition: int
    offset: int
    type: str
    subject: str
    appended_at: datetime

    @property
    def position(self) -> Position:
        """Its place on the log."""
        return Position(self.topic, self.partition, self.offset)


def positions_of(connection: Connection, source: str, event_id: str) -> list[IndexedEvent]:
    """Every record of the last 30 days that bears this source and id, in order of append."""
    columns = EVENTS.c
    rows = connection.execute(
        select(
            columns.topic,
            columns.partition,
            columns.offset,
            columns.type,
            columns.subject,
            columns.appended_at,
        )
        .where(columns.said == said(source, event_id), columns.source == source, columns.event_id == event_id)
        .order_by(columns.appended_at, columns.topic.collate("C"), columns.partition, columns.offset)
    )
    return [IndexedEvent(**row) for row in rows.mappings()]
