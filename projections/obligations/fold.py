"""Renewals and failures of obligations, and the openings that leave no other row behind, into ``obligations``."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert
from projections.folding import Folding
from schemas.events import (
    BackfillPlanned,
    BackfillRetried,
    ObligationFailed,
    ObligationRenewed,
    PlanCause,
)
from schemas.topics import Topic

RETRY: Final = "backfill.retry"
"""The obligation of ``backfill.retried``: its plan names the event that it was made for."""
_RULES: Final[Mapping[str, Rule]] = {
    "repository_id": Keep.FIRST,
    **dict.fromkeys(("opened_at", "opened_position", "closed"), Keep.FIRST),
    **dict.fromkeys(("attempt", "renewed_at", "renewed_position"), Ranked("attempt")),
    **dict.fromkeys(("failed_at", "attempts", "reason", "message"), Keep.FIRST),
}


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change. A renewal said twice is one: the attempt counts, not the event."""
    rows = SparseTable("obligations", ("obligation", "aggregate_id", "subject"), _RULES)
    for folding in events:
        event = folding.event
        match event.data:
            case ObligationRenewed() as data:
                rows.set(
                    (data.obligation, data.aggregate_id, data.subject),
                    repository_id=_repository(folding, data.aggregate_id),
                    attempt=data.attempt,
                    renewed_at=event.time,
                    renewed_position=str(folding.position),
                )
            case ObligationFailed() as data:
                rows.set(
                    (data.obligation, data.aggregate_id, data.subject),
                    repository_id=_repository(folding, data.aggregate_id),
                    failed_at=event.time,
                    attempts=data.attempts,
                    reason=data.reason,
                    message=data.message,
                )
            case BackfillRetried() as data:
                rows.set(
                    (RETRY, data.insight_id, event.id),
                    repository_id=0,
                    opened_at=event.time,
                    opened_position=str(folding.position),
                )
            case BackfillPlanned() as data:
                if data.cause is PlanCause.BACKFILL_RETRIED and event.causation_id is not None:
                    rows.set((RETRY, data.insight_id, event.causation_id), repository_id=0, closed=True)
            case _:
                pass
    return rows.upserts()


def _repository(folding: Folding, aggregate_id: int) -> int:
    return aggregate_id if folding.position.topic == Topic.REPOSITORIES else 0
