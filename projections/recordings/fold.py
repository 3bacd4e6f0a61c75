"""Requests, dispatches and results into rows of ``insights_query_runner_jobs``; decisions into those of the controls."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert, upserts
from projections.folding import Folding
from schemas.events import (
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillResumed,
    InsightDeleted,
    ObligationFailed,
    ObligationRenewed,
    RecordingDispatched,
    RecordingRequested,
    SearchCompleted,
    SearchFailed,
)

OBLIGATION: Final = "recording.count"
"""What is owed for a request: obligations of this name, on the requests' topic, change its job."""

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
    "requested_appended_at",
    "requested_position",
)
_GAVE_UP: Final = ("gave_up_attempts", "gave_up_reason", "gave_up_message")
_DISPATCHED: Final = ("dispatched_at", "dispatched_attempt", "dispatched_position", "deadline")
_COMPLETED: Final = ("completed_at", "completed_attempt")
_FAILED: Final = ("failed_at", "failed_attempt", "failed_final", "failed_reason", "failed_message")
_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_REQUESTED, Keep.FIRST),
    "renewed_attempt": Ranked("renewed_attempt"),
    **dict.fromkeys(_GAVE_UP, Ranked("gave_up_attempts")),
    **dict.fromkeys(_DISPATCHED, Ranked("dispatched_attempt")),
    **dict.fromkeys(_COMPLETED, Keep.FIRST),
    **dict.fromkeys(_FAILED, Ranked("failed_attempt")),
}


_CONTROLS: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("paused", "paused_at", "cancelled_at", "moved_to", "moved_offset", "deleted_at"), Keep.LAST
)


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change; a row begins with whichever of its topics is read first."""
    jobs = SparseTable("insights_query_runner_jobs", ("repository_id", "request_id"), _RULES)
    controls = SparseTable("insight_backfill_controls", ("insight_id",), _CONTROLS)
    for folding in events:
        _control(folding, controls)
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
                    requested_appended_at=folding.appended_at,
                    requested_position=str(folding.position),
                )
            case ObligationRenewed() as data if data.obligation == OBLIGATION:
                jobs.set((data.aggregate_id, data.subject), renewed_attempt=data.attempt)
            case ObligationFailed() as data if data.obligation == OBLIGATION:
                jobs.set(
                    (data.aggregate_id, data.subject),
                    gave_up_attempts=data.attempts,
                    gave_up_reason=data.reason,
                    gave_up_message=data.message,
                )
            case RecordingDispatched() as data:
                for dispatched in data.requests:
                    jobs.set(
                        (dispatched.request.repository_id, dispatched.request.request_id),
                        dispatched_at=event.time,
                        dispatched_attempt=dispatched.attempt,
                        dispatched_position=str(folding.position),
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
    return upserts((jobs, controls))


def _control(folding: Folding, controls: SparseTable) -> None:
    """Append times, since requests are compared with them."""
    at = folding.appended_at
    match folding.event.data:
        case BackfillPaused() as data:
            controls.set((data.insight_id,), paused=True, paused_at=at)
        case BackfillResumed() as data:
            controls.set((data.insight_id,), paused=False, paused_at=at)
        case BackfillCancelled() as data:
            controls.set((data.insight_id,), cancelled_at=at)
        case BackfillMoved() as data:
            controls.set((data.insight_id,), moved_to=data.to.value, moved_offset=folding.position.offset)
        case InsightDeleted() as data:
            controls.set((data.insight_id,), deleted_at=at)
        case _:
            pass
