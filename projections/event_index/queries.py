"""Where an event stands on the log."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, any_, cast, func, select

from projections.event_index.fold import said
from projections.event_index.tables import EVENTS
from schemas.envelope import Position

_C: Final = EVENTS.c
_ORDER: Final = (_C.appended_at, _C.topic.collate("C"), _C.partition, _C.offset)


class IndexedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record with an envelope. ``subject`` is the record key where the envelope had none, ``repository_id`` the repository
    that it is about (0: none)."""

    topic: str
    partition: int
    offset: int
    type: str
    subject: str
    appended_at: datetime
    repository_id: int

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
            columns.repository_id,
        )
        .where(columns.said == said(event_id), columns.source == source, columns.event_id == event_id)
        .order_by(columns.appended_at, columns.topic.collate("C"), columns.partition, columns.offset)
    )
    return [IndexedEvent(**row) for row in rows.mappings()]


class ChainedEvent(IndexedEvent, frozen=True, kw_only=True):
    """One record with its place in a chain of causes. ``said`` is the hash of its id, ``cause`` that of its cause's id."""

    said: int
    source: str
    event_id: str
    cause: int | None


def said_with(connection: Connection, event_id: str, limit: int) -> list[ChainedEvent]:
    """Records with this id, whoever said it, in the order of append."""
    return _chained(connection, (_C.said == said(event_id)) & (_C.event_id == event_id), limit)


def hashed_as(connection: Connection, number: int, limit: int) -> list[ChainedEvent]:
    """Records whose id has this hash, in the order of append."""
    return _chained(connection, _C.said == number, limit)


def caused_by(connection: Connection, numbers: Collection[int], limit: int) -> list[ChainedEvent]:
    """Records whose cause's id has one of these hashes, in the order of append."""
    return _chained(connection, _C.cause == any_(cast(list(numbers), ARRAY(BigInteger))), limit)


def counts_caused_by(connection: Connection, number: int, at_most: int) -> dict[str, int]:
    """How many records name a cause with this hash, by type; of the first ``at_most``."""
    first = select(_C.type).where(_C.cause == number).limit(at_most).subquery()
    rows = connection.execute(
        select(first.c.type, func.count()).group_by(first.c.type).order_by(first.c.type.collate("C"))
    )
    return {row[0]: row[1] for row in rows}


def _chained(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[ChainedEvent]:
    columns = (_C[name] for name in ChainedEvent.__struct_fields__)
    rows = connection.execute(select(*columns).where(condition).order_by(*_ORDER).limit(limit))
    return [ChainedEvent(**row) for row in rows.mappings()]
