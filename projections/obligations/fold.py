"""Renewals and failures of obligations, and the openings that leave no other row behind, into ``obligations``."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert
from projections.folding import Folding
from schemas.events import BackfillRetried, ObligationFailed, ObligationRenewed
from schemas.topics import Topic

RETRY: Final = "backfill.retry"
"""The obligation of ``backfill.retried``. Its subject is that event's id, from which the id of the plan that closes it follows."""
_RULES: Final[Mapping[str, Rule]] = {
    "repository_id": Keep.FIRST,
    **dict.fromkeys(("opened_at", "opened_position"), Keep.FIRST),
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
            case _:
                pass
    return rows.upserts()


def _repository(folding: Folding, aggregate_id: int) -> int:
    return aggregate_id if folding.position.topic == Topic.REPOSITORIES else 0
