"""Reads over the obligations projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec
from sqlalchemy import ARRAY, BigInteger, Connection, any_, cast, select

from projections.obligations.tables import OBLIGATIONS
from schemas.envelope import Position

Owed: TypeAlias = tuple[int, str]
"""(aggregate id, subject)."""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about an obligation after it was opened. ``attempt`` is the newest one asked for (1: the first),
    ``position`` that of its renewal."""

    attempt: int
    position: Position | None
    failed: bool


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An obligation that was given up."""

    obligation: str
    aggregate_id: int
    subject: str
    attempts: int
    reason: str
    message: str
    failed_at: datetime


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An obligation whose opening event stands here."""

    aggregate_id: int
    subject: str
    position: Position


def again(connection: Connection, obligation: str, aggregate_ids: Collection[int]) -> Mapping[Owed, Again]:
    """What was renewed or given up of this obligation, for these aggregates."""
    columns = OBLIGATIONS.c
    query = select(
        columns.aggregate_id, columns.subject, columns.attempt, columns.renewed_position, columns.failed_at
    ).where(
        columns.obligation == obligation,
        columns.aggregate_id == any_(cast(list(aggregate_ids), ARRAY(BigInteger))),
        columns.attempt.is_not(None) | columns.failed_at.is_not(None),
    )
    return {
        (row.aggregate_id, row.subject): Again(
            attempt=row.attempt or 1,
            position=None if row.renewed_position is None else Position.parse(row.renewed_position),
            failed=row.failed_at is not None,
        )
        for row in connection.execute(query)
    }


def opened(connection: Connection, obligation: str) -> list[Opened]:
    """Obligations of this name that were not given up, by key; whether they were met stands elsewhere."""
    columns = OBLIGATIONS.c
    query = (
        select(columns.aggregate_id, columns.subject, columns.opened_position)
        .where(
            columns.obligation == obligation,
            columns.opened_position.is_not(None),
            columns.failed_at.is_(None),
        )
        .order_by(columns.aggregate_id, columns.subject.collate("C"))
    )
    return [
        Opened(
            aggregate_id=row.aggregate_id, subject=row.subject, position=Position.parse(row.opened_position)
        )
        for row in connection.execute(query)
    ]


def failures(
    connection: Connection, limit: int, aggregate_ids: Collection[int] | None = None
) -> list[Failure]:
    """What was given up, the newest first; of these aggregates only, when named."""
    columns = OBLIGATIONS.c
    query = select(OBLIGATIONS).where(columns.failed_at.is_not(None))
    if aggregate_ids is not None:
        query = query.where(columns.aggregate_id == any_(cast(list(aggregate_ids), ARRAY(BigInteger))))
    query = query.order_by(columns.failed_at.desc(), columns.aggregate_id, columns.subject).limit(limit)
    return [
        Failure(
            obligation=row.obligation,
            aggregate_id=row.aggregate_id,
            subject=row.subject,
            attempts=row.attempts,
            reason=row.reason,
            message=row.message,
            failed_at=row.failed_at,
        )
        for row in connection.execute(query)
    ]
