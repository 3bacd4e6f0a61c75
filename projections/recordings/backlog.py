"""How far the backfills of insights are, and in which order they wait: for people who look after the queue."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.recordings.statements import placed
from projections.recordings.waiting import groups
from schemas.events import Lane, QueueEnd


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """The requests for one insight's past. ``cost`` is their estimate, ``reasons`` counts those that finally failed."""

    insight_id: int
    waiting: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cost: float = 0.0
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reasons: Mapping[str, int] = {}
    is_paused: bool = False
    moved_to: QueueEnd | None = None

    @property
    def pending(self) -> int:
        return self.waiting + self.processing


_JOBS: Final = """
select insight_id,
       count(*) filter (where state in ('queued', 'errored')), count(*) filter (where state = 'processing'),
       count(*) filter (where state = 'completed'), count(*) filter (where state = 'failed'),
       coalesce(sum(cost), 0), min(requested_at), least(min(dispatched_at), min(completed_at)),
       greatest(max(completed_at), max(failed_at) filter (where failed_final))
from recordings.insights_query_runner_jobs
where lane = 'backfill' and insight_id = any(:ids) group by insight_id
"""
_REASONS: Final = """
select insight_id, failed_reason, count(*) from recordings.insights_query_runner_jobs
where lane = 'backfill' and insight_id = any(:ids) and failed_final and completed_at is null
group by insight_id, failed_reason order by insight_id, count(*) desc, failed_reason collate "C"
"""
_CONTROLS: Final = """
select insight_id, coalesce(paused, false), moved_to from recordings.insight_backfill_controls
where insight_id = any(:ids)
"""
_FIRST: Final = """
select g.insight_id, min(j.requested_appended_at)
from unnest(cast(:creators as text[]), cast(:insights as bigint[])) g(creator, insight_id)
cross join lateral (
  select requested_appended_at from recordings.insights_query_runner_jobs j
  where j.waiting and j.lane = 'backfill' and j.creator collate "C" = g.creator and j.insight_id = g.insight_id
  order by j.priority, j.requested_appended_at limit 1
) j group by g.insight_id
"""


def backfills(connection: Connection, insight_ids: Collection[int]) -> dict[int, Backfill]:
    """Every one of ``insight_ids`` has an entry; without requests it is empty."""
    ids = {"ids": list(insight_ids)}
    reasons: dict[int, dict[str, int]] = {}
    for insight_id, reason, count in connection.execute(text(placed(connection, _REASONS)), ids):
        reasons.setdefault(insight_id, {})[reason] = count
    decided = {row[0]: row for row in connection.execute(text(placed(connection, _CONTROLS)), ids)}
    counted = {row[0]: row for row in connection.execute(text(placed(connection, _JOBS)), ids)}
    found: dict[int, Backfill] = {}
    for insight_id in insight_ids:
        _, paused, moved_to = decided.get(insight_id) or (insight_id, False, None)
        row = counted.get(insight_id) or (insight_id, 0, 0, 0, 0, 0.0, None, None, None)
        found[insight_id] = Backfill(
            insight_id=insight_id,
            waiting=row[1],
            processing=row[2],
            completed=row[3],
            failed=row[4],
            cost=row[5],
            created_at=row[6],
            started_at=row[7],
            ended_at=row[8],
            reasons=reasons.get(insight_id, {}),
            is_paused=paused,
            moved_to=None if moved_to is None else QueueEnd(moved_to),
        )
    return found


def queue_positions(connection: Connection) -> dict[int, int]:
    """The place of each insight whose past waits to be counted, from 1: moved to the front, then as they were asked
    for (these take turns), then moved to the back."""
    waiting = groups(connection, Lane.BACKFILL)
    first = {
        row[0]: row[1]
        for row in connection.execute(
            text(placed(connection, _FIRST)),
            {
                "creators": [one.creator for one in waiting],
                "insights": [one.insight_id for one in waiting],
            },
        )
    }
    ranks: dict[int, tuple[int, float, int]] = {}
    for one in waiting:
        if one.moved_to is QueueEnd.FRONT:
            rank = (0, -float(one.moved_offset), one.insight_id)
        elif one.moved_to is QueueEnd.BACK:
            rank = (2, float(one.moved_offset), one.insight_id)
        else:
            asked_at = first.get(one.insight_id)
            rank = (1, 0.0 if asked_at is None else asked_at.timestamp(), one.insight_id)
        ranks[one.insight_id] = min(rank, ranks.get(one.insight_id, rank))
    return {
        insight_id: place
        for place, (insight_id, _) in enumerate(sorted(ranks.items(), key=lambda item: item[1]), start=1)
    }
