"""Reads over the recordings projection, inside a snapshot (``projections.reading``)."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Select,
    Text,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from projections.recordings.backlog import Backfill, backfills, queue_positions
from projections.recordings.tables import CONTROLS, JOBS
from projections.recordings.waiting import (
    GivenUp,
    Group,
    RequestKey,
    Waiting,
    cancelled,
    candidates,
    given_up,
    groups,
)
from schemas.events import Lane, RecordingRequest

__all__ = [
    "Attempts",
    "Backfill",
    "GivenUp",
    "Group",
    "InFlight",
    "Progress",
    "RequestKey",
    "Waiting",
    "attempts",
    "backfills",
    "busy_repositories",
    "cancelled",
    "candidates",
    "exists",
    "given_up",
    "groups",
    "in_flight",
    "progress",
    "queue_positions",
]

_KEY: Final = tuple_(JOBS.c.repository_id, JOBS.c.request_id)
_decode_request: Final = msgspec.json.Decoder(RecordingRequest).decode


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was dispatched and has no outcome of that attempt yet."""

    request: RecordingRequest
    attempt: int
    dispatched_at: datetime
    deadline: datetime


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one insight by state."""

    queued: int = 0
    processing: int = 0
    errored: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.queued + self.processing + self.errored + self.completed + self.failed

    @property
    def pending(self) -> int:
        """Jobs that have no final outcome."""
        return self.queued + self.processing + self.errored


def in_flight(connection: Connection) -> list[InFlight]:
    """Dispatched requests without an outcome, the earliest deadline first."""
    query = (
        select(JOBS.c.request, JOBS.c.dispatched_attempt, JOBS.c.dispatched_at, JOBS.c.deadline)
        .where(JOBS.c.state == literal_column("'processing'"), JOBS.c.request.is_not(None))
        .order_by(JOBS.c.deadline, JOBS.c.request_id.collate("C"), JOBS.c.repository_id)
    )
    return [
        InFlight(
            request=_decode_request(request), attempt=attempt, dispatched_at=dispatched_at, deadline=deadline
        )
        for request, attempt, dispatched_at, deadline in connection.execute(query)
    ]


def dispatched(connection: Connection, limit: int) -> list[tuple[int, str, int, str]]:
    """(repository, request, attempt, position of the dispatch) of what was dispatched and has no outcome, by deadline."""
    columns = JOBS.c
    query = (
        select(
            columns.repository_id, columns.request_id, columns.dispatched_attempt, columns.dispatched_position
        )
        .where(columns.state == literal_column("'processing'"), columns.dispatched_position.is_not(None))
        .order_by(columns.deadline, columns.request_id.collate("C"), columns.repository_id)
        .limit(limit)
    )
    return [tuple(row) for row in connection.execute(query)]


def progress(connection: Connection, insight_ids: Collection[int]) -> dict[int, Progress]:
    """Jobs of each insight by state; every one of ``insight_ids`` has an entry."""
    query = (
        select(JOBS.c.insight_id, JOBS.c.state, func.count())
        .where(JOBS.c.requested_at.is_not(None), JOBS.c.insight_id.in_(list(insight_ids)))
        .group_by(JOBS.c.insight_id, JOBS.c.state)
    )
    counts: dict[int, dict[str, int]] = {identity: {} for identity in insight_ids}
    for row in connection.execute(query):
        counts[row[0]][row[1]] = row[2]
    return {identity: Progress(**states) for identity, states in counts.items()}


def busy_repositories(connection: Connection, insight_id: int) -> set[int]:
    """Repositories in which a request of this insight's past runs, or waits and was not cancelled."""
    not_cancelled = CONTROLS.c.cancelled_at.is_(None) | (
        JOBS.c.requested_appended_at > CONTROLS.c.cancelled_at
    )
    query = (
        select(JOBS.c.repository_id)
        .outerjoin(CONTROLS, CONTROLS.c.insight_id == JOBS.c.insight_id)
        .where(
            JOBS.c.insight_id == insight_id,
            JOBS.c.lane == Lane.BACKFILL.value,
            (JOBS.c.state == literal_column("'processing'")) | (JOBS.c.waiting & not_cancelled),
        )
    )
    return set(connection.scalars(query))


def exists(connection: Connection, keys: Collection[RequestKey]) -> set[RequestKey]:
    """Those of ``keys`` that have been requested."""
    query = select(JOBS.c.repository_id, JOBS.c.request_id).where(
        _KEY.in_(_listed(keys)), JOBS.c.requested_at.is_not(None)
    )
    return {(repository_id, request_id) for repository_id, request_id in connection.execute(query)}


def newest_snapshots_asked(connection: Connection, repository_ids: Collection[int]) -> dict[int, int]:
    """By repository: the newest push (its offset) whose state any request ever asked for."""
    offset = cast(
        cast(func.convert_from(JOBS.c.request, "UTF8"), JSONB)[("snapshot", "pushed_offset")].astext,
        BigInteger,
    )
    query = (
        select(JOBS.c.repository_id, func.max(offset))
        .where(JOBS.c.repository_id.in_(list(repository_ids)), JOBS.c.request.is_not(None))
        .group_by(JOBS.c.repository_id)
        .having(func.max(offset).is_not(None))
    )
    return {row[0]: row[1] for row in connection.execute(query)}


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a request has come: its state and its newest attempts (0: none).

    ``failed`` is the greatest one that is over: it failed, or was renewed because nothing came of it in time.
    """

    state: str
    dispatched: int
    failed: int


def attempts(connection: Connection, keys: Collection[RequestKey]) -> dict[RequestKey, Attempts]:
    """What the table shows of those of ``keys`` that it knows: the dispatcher compares it with its memory."""
    query = select(
        JOBS.c.repository_id,
        JOBS.c.request_id,
        JOBS.c.state,
        func.coalesce(JOBS.c.dispatched_attempt, 0),
        func.greatest(func.coalesce(JOBS.c.failed_attempt, 0), func.coalesce(JOBS.c.renewed_attempt, 1) - 1),
    ).where(_KEY.in_(_listed(keys)))
    return {
        (repository_id, request_id): Attempts(state=state, dispatched=dispatched, failed=failed)
        for repository_id, request_id, state, dispatched, failed in connection.execute(query)
    }


def _listed(keys: Collection[RequestKey]) -> Select[tuple[int, str]]:
    """``keys`` as rows of two array parameters: a statement may bear 65,535 parameters, and a queue is longer."""
    pairs = list(keys)
    rows = (
        func.unnest(
            cast([repository_id for repository_id, _ in pairs], ARRAY(BigInteger)),
            cast([request_id for _, request_id in pairs], ARRAY(Text)),
        )
        .table_valued("repository_id", "request_id")
        .render_derived()
    )
    return select(rows.c.repository_id, rows.c.request_id)
