"""What may happen to a monitor, and when.

It is created once and deleted once; an id is never used again. Everything else needs a live one and is idempotent:
enabling what is enabled is accepted, takes a version, and lets it begin at the present again.
"""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.judgement import ABSENT, AcceptedIds, AggregateState, Judgement, ReasonCode, Rejected, judge
from schemas.monitors.events import (
    MonitorActionDisabled,
    MonitorCreated,
    MonitorDeleted,
    MonitorRunRequested,
    MonitorToggled,
    MonitorUpdated,
)
from schemas.registry import Payload

LIVE: Final = "live"
DELETED: Final = "deleted"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {
    MonitorCreated: LIVE,
    MonitorUpdated: LIVE,
    MonitorToggled: LIVE,
    MonitorRunRequested: LIVE,
    MonitorActionDisabled: LIVE,
    MonitorDeleted: DELETED,
}
"""Every guarded type, and where the monitor is in its life afterwards."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge a guarded event of one monitor."""
    return judge(state, event, accepted_ids, _next_life)


def _next_life(lifecycle: str, data: Payload) -> str | Rejected:
    if lifecycle == DELETED:
        return Rejected(ReasonCode.DELETED, "this monitor was deleted; create another one")
    if isinstance(data, MonitorCreated) and lifecycle == LIVE:
        return Rejected(ReasonCode.EXISTS, "this monitor exists already")
    if not isinstance(data, MonitorCreated) and lifecycle == ABSENT:
        return Rejected(ReasonCode.UNKNOWN, "there is no such monitor")
    return LIFE_AFTER[type(data)]
