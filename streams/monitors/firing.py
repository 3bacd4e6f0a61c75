"""The events of runs that begin: ``trigger.fired`` for the log, ``trigger.dispatched`` for who has the clone; and the end of those
that nobody can search. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from projections.monitors.queries.positions import OpenRun
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import (
    FiredRun,
    FiringCause,
    RepositoryLocation,
    RunOutcome,
    RunStatus,
    TriggerDispatched,
    TriggerEvaluated,
    TriggerFired,
)
from schemas.ids import derived_event_id
from streams.agent import Outgoing
from streams.monitors.runs import PER_EVENT, by_partition

SOURCE: Final = "//millstream/monitors"


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that begin together in one repository."""

    repository_id: int
    location: RepositoryLocation
    moment: str
    cause: FiringCause
    pushed_offset: int
    runs: Sequence[FiredRun]


def fired(
    firing: Firing, partition_of: Callable[[int], int], now: datetime, cause: Event | None
) -> list[Outgoing]:
    """What goes on the log, before anything is dispatched."""
    return [
        Outgoing(
            new_event(
                TriggerFired(
                    repository_id=firing.repository_id,
                    moment=firing.moment,
                    cause=firing.cause,
                    pushed_offset=firing.pushed_offset,
                    runs=list(together),
                ),
                source=SOURCE,
                time=now,
                event_id=_id("trigger.fired", firing, together),
                cause=cause,
            )
        )
        for together in by_partition(firing.runs, lambda run: run.monitor_id, partition_of)
    ]


def dispatched(firing: Firing, now: datetime, cause: Event | None, attempt: str = "") -> list[Outgoing]:
    """What the hands are asked to do; ``attempt`` tells a repetition from the first."""
    return [
        Outgoing(
            new_event(
                TriggerDispatched(
                    repository_id=firing.repository_id,
                    moment=firing.moment,
                    cause=firing.cause,
                    pushed_offset=firing.pushed_offset,
                    runs=list(together),
                    location=firing.location,
                ),
                source=SOURCE,
                time=now,
                event_id=_id(f"trigger.dispatched{attempt}", firing, together),
                cause=cause,
            )
        )
        for start in range(0, len(firing.runs), PER_EVENT)
        if (together := firing.runs[start : start + PER_EVENT])
    ]


def ended_as_removed(run: OpenRun, now: datetime) -> Outgoing:
    """The outcome of a run that the hands did not give, and cannot any more: its repository is followed no longer."""
    outcome = RunOutcome(
        monitor_id=run.monitor_id,
        begun=run.begun,
        since=run.since,
        status=RunStatus.FAILED,
        reason="removed",
        message="The repository was removed before it was searched.",
    )
    return Outgoing(
        new_event(
            TriggerEvaluated(
                repository_id=run.repository_id,
                moment=run.moment,
                pushed_offset=run.pushed_offset,
                outcomes=[outcome],
            ),
            source=SOURCE,
            time=now,
            event_id=derived_event_id(
                "trigger.evaluated.removed", run.repository_id, run.moment, f"{run.monitor_id}@{run.begun}"
            ),
        )
    )


def _id(kind: str, firing: Firing, runs: Sequence[FiredRun]) -> str:
    named = ",".join(f"{run.monitor_id}@{run.begun}" for run in runs)
    return derived_event_id(kind, firing.repository_id, firing.moment, named)
