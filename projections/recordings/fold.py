"""Requests, dispatches and results into rows of ``insights_query_runner_jobs``."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert
from projections.folding import Folding
from schemas.events import RecordingDispatched, RecordingRequested, SearchCompleted, SearchFailed

_REQUESTED: Final = (
    "insight_id",
    "creator",
    "lane",
    "priority",
    "cost",
    "request",
    "split",
    "of",
    "requested_at",
    "requested_position",
)
_DISPATCHED: Final = ("dispatched_at", "dispatched_attempt", "deadline")
_COMPLETED: Final = ("completed_at", "completed_attempt")
_FAILED: Final = ("failed_at", "failed_attempt", "failed_final", "failed_reason", "failed_message")
_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_REQUESTED, Keep.FIRST),
    **dict.fromkeys(_DISPATCHED, Ranked("dispatched_attempt")),
    **dict.fromkeys(_COMPLETED, Keep.FIRST),
    **dict.fromkeys(_FAILED, Ranked("failed_attempt")),
}


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change; a row begins with whichever of its topics is read first."""
    jobs = SparseTable("insights_query_runner_jobs", ("repository_id", "request_id"), _RULES)
    for folding in events:
        event = folding.event
        match event.data:
            case RecordingRequested() as data:
                request = data.request
                jobs.set(
                    (request.repository_id, request.request_id),
                    insight_id=request.insight_id,
                    creator=request.creator,
                    lane=request.lane.value,
                    priority=request.priority,
                    cost=request.cost,
                    request=msgspec.json.encode(request),
                    split=request.split,
                    of=request.of,
                    requested_at=event.time,
                    requested_position=str(folding.position),
                )
            case RecordingDispatched() as data:
                for dispatched in data.requests:
                    jobs.set(
                        (dispatched.request.repository_id, dispatched.request.request_id),
                        dispatched_at=event.time,
                        dispatched_attempt=dispatched.attempt,
                        deadline=data.deadline,
                    )
            case SearchCompleted() as data:
                jobs.set(
                    (data.repository_id, data.request_id),
                    completed_at=event.time,
                    completed_attempt=data.attempt,
                )
            case SearchFailed() as data:
                jobs.set(
                    (data.repository_id, data.request_id),
                    failed_at=event.time,
                    failed_attempt=data.attempt,
                    failed_final=data.final,
                    failed_reason=data.reason,
                    failed_message=data.message,
                )
            case _:
                pass
    return jobs.upserts()
