"""What may happen to an insight, and when.

It is created once and deleted once; an id is never used again. What people decide about its backfill needs a live insight
and is idempotent: pausing what is paused is accepted, takes a version, and changes nothing in the folds (the last of
paused and resumed holds). Whoever needs more says ``ce_expectedversion``.
"""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.insights.events import (
    BackfillCancelled,
    BackfillMoved,
    BackfillPaused,
    BackfillResumed,
    BackfillRetried,
    InsightCreated,
    InsightDeleted,
)
from schemas.judgement import ABSENT, AcceptedIds, AggregateState, Judgement, ReasonCode, Rejected, judge
from schemas.registry import Payload

LIVE: Final = "live"
DELETED: Final = "deleted"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {
    InsightCreated: LIVE,
    BackfillPaused: LIVE,
    BackfillResumed: LIVE,
    BackfillCancelled: LIVE,
    BackfillRetried: LIVE,
    BackfillMoved: LIVE,
    InsightDeleted: DELETED,
}
"""Every guarded type, and where the insight is in its life afterwards."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge a guarded event of one insight."""
    return judge(state, event, accepted_ids, _next_life)


def _next_life(lifecycle: str, data: Payload) -> str | Rejected:
    if lifecycle == DELETED:
        return Rejected(ReasonCode.DELETED, "this insight was deleted; create another one")
    if isinstance(data, InsightCreated) and lifecycle == LIVE:
        return Rejected(ReasonCode.EXISTS, "this insight exists already")
    if not isinstance(data, InsightCreated) and lifecycle == ABSENT:
        return Rejected(ReasonCode.UNKNOWN, "there is no such insight")
    return LIFE_AFTER[type(data)]
