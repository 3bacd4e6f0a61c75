"""Runs of one repository, and how they end: what is searched, and what is kept, is passed in."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from projections.monitors.queries.definitions import Monitor
from schemas.events import ActionKind, Delivery, FiredRun, ResultsBlob, RunOutcome, RunStatus
from schemas.limits import shortened
from streams.monitors.results import found_in
from streams.monitors.runs import parsed
from streams.search.history.engine import FoundNew, NewIn

_DELIVERIES: Final = 1_000
_WARNINGS: Final = 100


class Decided(msgspec.Struct, frozen=True):
    """A run before it is searched: ``outcome`` where it needs no search, else what is asked of the engine.

    ``is_hidden``: only the tips are wanted, since the owner may not see the repository.
    """

    run: FiredRun
    monitor: Monitor | None
    ask: NewIn | None
    outcome: RunOutcome | None = None
    is_hidden: bool = False


def decided(
    runs: Sequence[FiredRun],
    monitors: Mapping[int, Monitor],
    searched: Mapping[int, tuple[str, ...]],
    visible: Mapping[str, bool],
) -> list[Decided]:
    """``searched``: tips by monitor, of its present beginning; ``visible``: owners who may see the repository."""
    return [_decided(run, monitors.get(run.monitor_id), searched, visible) for run in runs]


def _decided(
    run: FiredRun,
    monitor: Monitor | None,
    searched: Mapping[int, tuple[str, ...]],
    visible: Mapping[str, bool],
) -> Decided:
    if (
        monitor is None
        or monitor.deleted_at is not None
        or not monitor.enabled
        or monitor.begun_offset != run.begun
    ):
        return Decided(run, monitor, None, _outcome(run, RunStatus.SUPERSEDED))
    found = parsed(monitor.query)
    if found is None:
        outcome = _outcome(
            run, RunStatus.FAILED, reason="invalid-query", message="The query of this monitor cannot be run."
        )
        return Decided(run, monitor, None, outcome)
    if not visible.get(monitor.owner, False):
        return Decided(run, monitor, NewIn(query=found.query, searched=None), is_hidden=True)
    base = None if run.base is None else tuple(run.base)
    return Decided(run, monitor, NewIn(query=found.query, searched=searched.get(run.monitor_id, base)))


def failed(one: Decided, reason: str, message: str) -> RunOutcome:
    """The search did not end: nothing moves."""
    return one.outcome or _outcome(one.run, RunStatus.FAILED, reason=reason, message=message)


def ended(one: Decided, found: FoundNew, blob: ResultsBlob | None) -> RunOutcome:
    """What the search found; with at least one result it is an event of the monitor."""
    if one.is_hidden or one.monitor is None:
        return msgspec.structs.replace(_outcome(one.run, RunStatus.HIDDEN), tips=list(found.tips))
    return RunOutcome(
        monitor_id=one.run.monitor_id,
        begun=one.run.begun,
        since=one.run.since,
        status=RunStatus.COMPLETED,
        tips=list(found.tips),
        query=one.monitor.query if found.count else "",
        results=found_in(found.matches),
        result_count=found.count,
        match_count=found.match_count,
        blob=blob,
        deliveries=deliveries(one.monitor) if found.count else [],
        warnings=[shortened(warning) for warning in found.warnings[:_WARNINGS]],
    )


def deliveries(monitor: Monitor) -> list[Delivery]:
    """What has to be sent for an event: one per action, of a mail one per recipient, so that no retry tells anybody twice."""
    found: list[Delivery] = []
    for action in monitor.actions:
        if not action.sends:
            continue
        names = action.recipients if action.kind is ActionKind.EMAIL else ("",)
        found += [Delivery(action_id=action.id, recipient=name) for name in names]
    return found[:_DELIVERIES]


def _outcome(run: FiredRun, status: RunStatus, *, reason: str = "", message: str = "") -> RunOutcome:
    return RunOutcome(
        monitor_id=run.monitor_id,
        begun=run.begun,
        since=run.since,
        status=status,
        reason=reason,
        message=shortened(message),
    )
