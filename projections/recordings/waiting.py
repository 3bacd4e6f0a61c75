"""What waits to be dispatched, read so that millions of waiting requests cost as little as a handful.

The waiting jobs of a lane fall into groups by (creator, insight). ``groups`` jumps from one group to the next in the
index; ``candidates`` takes the first few of each chosen group, in their order: priority, then as they were asked for.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from sqlalchemy import Connection, text

from projections.recordings.statements import placed
from schemas.events import Lane, QueueEnd, RecordingRequest

RequestKey: TypeAlias = tuple[int, str]
"""(repository id, request id): what names a request; a request id alone may be stated for two repositories."""

_decode_request: Final = msgspec.json.Decoder(RecordingRequest).decode


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting requests of one creator's insight, and what people decided about them.

    ``is_paused`` concerns its past (the lane of backfills) only, ``is_cancelled`` says that a part or all of what waits
    may have been cancelled; ``moved_offset`` is of the last move.
    """

    creator: str
    insight_id: int
    is_paused: bool
    is_cancelled: bool
    moved_to: QueueEnd | None
    moved_offset: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A request that nobody works on. ``attempts`` is the greatest attempt that is over (0: none)."""

    request: RecordingRequest
    requested_at: datetime
    attempts: int


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """A request of which an obligation says that nothing is tried any more."""

    request: RecordingRequest
    attempts: int
    reason: str
    message: str


TRIED: Final = "greatest(coalesce(j.failed_attempt, 0), coalesce(j.renewed_attempt, 1) - 1)"

_GROUPS: Final = """
with recursive found as (
  (select creator, insight_id from recordings.insights_query_runner_jobs
   where waiting and lane = :lane order by creator collate "C", insight_id limit 1)
  union all
  select n.creator, n.insight_id from found f cross join lateral (
    select creator, insight_id from recordings.insights_query_runner_jobs j
    where waiting and lane = :lane and (j.creator collate "C", j.insight_id) > (f.creator, f.insight_id)
    order by j.creator collate "C", j.insight_id limit 1
  ) n
)
select f.creator, f.insight_id,
       :lane = 'backfill' and coalesce(c.paused, false),
       (:lane <> 'scheduled' and c.deleted_at is not null) or (:lane = 'backfill' and c.cancelled_at is not null),
       case when :lane = 'backfill' then c.moved_to end, coalesce(c.moved_offset, 0)
from found f left join recordings.insight_backfill_controls c using (insight_id)
"""
"""One index probe for each group, however many requests it has.

A scheduled request outlives its insight: the recorder's carry series of several, and bear the first one's id.
"""

_CANDIDATES: Final = f"""
select j.request, j.requested_at, {TRIED}
from unnest(cast(:creators as text[]), cast(:insights as bigint[])) with ordinality g(creator, insight_id, place)
left join recordings.insight_backfill_controls c on c.insight_id = g.insight_id
cross join lateral (
  select j.* from recordings.insights_query_runner_jobs j
  where j.waiting and j.lane = :lane and j.creator collate "C" = g.creator and j.insight_id = g.insight_id
    and (:lane <> 'backfill' or c.cancelled_at is null or j.requested_appended_at > c.cancelled_at)
    and (j.repository_id, j.request_id) not in (
      select * from unnest(cast(:hidden_repositories as bigint[]), cast(:hidden_requests as text[])))
    and j.repository_id not in (select unnest(cast(:repositories as bigint[])))
  order by j.priority, j.requested_appended_at, j.request_id collate "C", j.repository_id
  limit :per_group
) j
where (:lane = 'scheduled' or c.deleted_at is null) and (:lane <> 'backfill' or c.paused is not true)
order by g.place, j.priority, j.requested_appended_at, j.request_id collate "C", j.repository_id
"""

_CANCELLED: Final = f"""
select j.request, j.requested_at, {TRIED}
from unnest(cast(:creators as text[]), cast(:insights as bigint[])) g(creator, insight_id)
join recordings.insight_backfill_controls c on c.insight_id = g.insight_id
cross join lateral (
  select j.* from recordings.insights_query_runner_jobs j
  where j.waiting and j.lane = :lane and j.creator collate "C" = g.creator and j.insight_id = g.insight_id
    and ((:lane <> 'scheduled' and c.deleted_at is not null)
         or (:lane = 'backfill' and j.requested_appended_at <= c.cancelled_at))
    and (j.repository_id, j.request_id) not in (
      select * from unnest(cast(:hidden_repositories as bigint[]), cast(:hidden_requests as text[])))
  limit :page
) j
limit :page
"""

_GIVEN_UP: Final = """
select request, gave_up_attempts, gave_up_reason, gave_up_message
from recordings.insights_query_runner_jobs j
where gave_up_attempts is not null and completed_at is null and failed_final is not true and request is not null
  and (j.repository_id, j.request_id) not in (
    select * from unnest(cast(:hidden_repositories as bigint[]), cast(:hidden_requests as text[])))
order by repository_id limit :page
"""


def groups(connection: Connection, lane: Lane) -> list[Group]:
    """The groups of a lane in which something waits, by creator and insight."""
    return [
        Group(
            creator=row[0],
            insight_id=row[1],
            is_paused=row[2],
            is_cancelled=row[3],
            moved_to=None if row[4] is None else QueueEnd(row[4]),
            moved_offset=row[5],
        )
        for row in connection.execute(text(placed(connection, _GROUPS)), {"lane": lane.value})
    ]


def candidates(
    connection: Connection,
    lane: Lane,
    chosen: Sequence[Group],
    per_group: int,
    excluding: Collection[RequestKey] = (),
    excluding_repositories: Collection[int] = (),
) -> list[Waiting]:
    """At most ``per_group`` requests of each chosen group, groups and requests in order.

    Nothing of a paused or deleted insight, nor what was cancelled, as the table says now. ``excluding`` are requests
    that the caller has dispatched already, whether the table shows it or not; ``excluding_repositories`` are those in
    which nothing can be counted yet.
    """
    rows = connection.execute(
        text(placed(connection, _CANDIDATES)),
        {
            **_named(lane, chosen),
            **_hidden(excluding),
            "repositories": list(excluding_repositories),
            "per_group": per_group,
        },
    )
    return [Waiting(request=_decode_request(row[0]), requested_at=row[1], attempts=row[2]) for row in rows]


def cancelled(
    connection: Connection,
    lane: Lane,
    chosen: Sequence[Group],
    page: int,
    excluding: Collection[RequestKey] = (),
) -> list[Waiting]:
    """At most ``page`` requests of the chosen groups that wait and were cancelled, or whose insight is deleted."""
    rows = connection.execute(
        text(placed(connection, _CANCELLED)), {**_named(lane, chosen), **_hidden(excluding), "page": page}
    )
    return [Waiting(request=_decode_request(row[0]), requested_at=row[1], attempts=row[2]) for row in rows]


def given_up(connection: Connection, page: int, excluding: Collection[RequestKey] = ()) -> list[GivenUp]:
    """At most ``page`` requests without an outcome of which nothing is tried any more."""
    rows = connection.execute(text(placed(connection, _GIVEN_UP)), {**_hidden(excluding), "page": page})
    return [
        GivenUp(request=_decode_request(row[0]), attempts=row[1], reason=row[2], message=row[3])
        for row in rows
    ]


def _named(lane: Lane, chosen: Sequence[Group]) -> dict[str, object]:
    return {
        "lane": lane.value,
        "creators": [one.creator for one in chosen],
        "insights": [one.insight_id for one in chosen],
    }


def _hidden(keys: Collection[RequestKey]) -> dict[str, object]:
    """Two array parameters: a statement may bear 65,535 parameters, and a queue is longer."""
    pairs = list(keys)
    return {
        "hidden_repositories": [repository_id for repository_id, _ in pairs],
        "hidden_requests": [request_id for _, request_id in pairs],
    }
