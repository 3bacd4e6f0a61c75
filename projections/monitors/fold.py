"""Definitions, runs and actions into the rows of the monitors projection."""

from collections.abc import Sequence

import msgspec

from projections.folding import Folding
from projections.monitors.rows import Change, Pruned, Rows, Tips
from schemas.events import (
    ActionFailed,
    ActionKind,
    ActionRequested,
    ActionSucceeded,
    MonitorAction,
    MonitorActionDisabled,
    MonitorCreated,
    MonitorDeleted,
    MonitorToggled,
    MonitorUpdated,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    TriggerFired,
    TriggerPruned,
)
from schemas.triggers.ids import action_job_id, trigger_job_id


def fold(events: Sequence[Folding]) -> list[Change]:
    """The changes that ``events`` make, in their order: what is pruned was written before, and so was what ended without a beginning."""
    changes: list[Change] = []
    rows = Rows()
    for folding in events:
        data = folding.event.data
        if isinstance(data, TriggerPruned) or (isinstance(data, TriggerFired) and _begins_late(data, rows)):
            changes += rows.changes()
            rows = Rows()
        if isinstance(data, TriggerPruned):
            changes.append(Pruned(data))
        else:
            _fold_one(folding, rows)
    return changes + rows.changes()


def _begins_late(data: TriggerFired, rows: Rows) -> bool:
    return any(
        rows.has_ended(run.monitor_id, trigger_job_id(run.monitor_id, data.repository_id, data.moment))
        for run in data.runs
    )


def _fold_one(folding: Folding, rows: Rows) -> None:
    event = folding.event
    match event.data:
        case MonitorCreated() as data:
            rows.monitors.set(
                (data.monitor_id,),
                owner=data.owner,
                created_at=data.created_at,
                created_position=str(folding.position),
                changed_by=data.owner,
            )
            _define(folding, data, rows)
            _begin(folding, data.monitor_id, enabled=data.enabled, rows=rows)
            rows.queries.set((data.monitor_id,), query=data.query, changed_at=event.time)
        case MonitorUpdated() as data:
            rows.monitors.set((data.monitor_id,), changed_by=data.changed_by)
            _define(folding, data, rows)
            if data.enabled is not None:
                _begin(folding, data.monitor_id, enabled=data.enabled, rows=rows)
            if data.query is not None:
                rows.queries.set((data.monitor_id,), query=data.query, changed_at=event.time)
                _at_the_present(folding, data.monitor_id, rows)
        case MonitorToggled() as data:
            rows.monitors.set((data.monitor_id,), changed_by=data.changed_by, changed_at=event.time)
            _begin(folding, data.monitor_id, enabled=data.enabled, rows=rows)
        case MonitorDeleted() as data:
            rows.monitors.set((data.monitor_id,), deleted_at=event.time)
        case MonitorActionDisabled() as data:
            # Of which kind the action is stands in its definition alone: both tables hear of it.
            # Older senders did not say which definition was meant: the one at that time.
            meant = data.defined_offset
            for table in rows.webhooks.values():
                table.set(
                    (data.monitor_id, data.action_id),
                    disabled_offset=folding.position.offset if meant is None else meant,
                    disabled_message=data.message,
                )
        case RepositoryPushed() as data:
            rows.repositories.set(
                (data.repository_id,),
                pushed_partition=folding.position.partition,
                pushed_offset=folding.position.offset,
                pushed_at=folding.appended_at,
                default_branch=data.default_branch,
                tip=data.tip,
                previous_tip=data.previous_tip,
                refs_fingerprint=data.refs_fingerprint,
            )
            rows.pushed(data.repository_id, folding.position.offset)
        case RepositoryRegistered() | RepositoryRenamed() | RepositoryUpdated() | RepositoryRemoved() as data:
            _identity(folding, data, rows)
        case TriggerFired() as data:
            _fired(folding, data, rows)
        case TriggerEvaluated() as data:
            for outcome in data.outcomes:
                _evaluated(folding, data, outcome, rows)
        case ActionRequested() | ActionSucceeded() | ActionFailed() as data:
            _action(folding, data, rows)
        case _:
            pass


def _define(folding: Folding, data: MonitorCreated | MonitorUpdated, rows: Rows) -> None:
    offset = folding.position.offset
    rows.monitors.set(
        (data.monitor_id,),
        description=data.description,
        changed_at=folding.event.time,
        defined_offset=offset,
    )
    for place, action in enumerate(data.actions):
        _define_action(data.monitor_id, action, place, offset, rows)


def _define_action(monitor_id: int, action: MonitorAction, place: int, offset: int, rows: Rows) -> None:
    key = (monitor_id, action.action_id)
    shared = {
        "place": place,
        "enabled": action.enabled,
        "include_results": action.include_results,
        "defined_offset": offset,
    }
    if action.kind is ActionKind.EMAIL:
        rows.emails.set(key, **shared, priority=action.priority.value, header=action.header)
        for number, name in enumerate(action.recipients):
            rows.recipients.set((*key, name), place=number, defined_offset=offset)
        return
    url, signing = action.url, action.signing
    rows.webhooks[action.kind].set(
        key,
        **shared,
        url_ref=None if url is None else url.ref,
        url_fingerprint=None if url is None else url.fingerprint,
        host=None if url is None else url.host,
        signing_ref=None if signing is None else signing.ref,
        signing_fingerprint=None if signing is None else signing.fingerprint,
    )


def _begin(folding: Folding, monitor_id: int, *, enabled: bool, rows: Rows) -> None:
    rows.monitors.set((monitor_id,), enabled=enabled)
    if enabled:
        _at_the_present(folding, monitor_id, rows)


def _at_the_present(folding: Folding, monitor_id: int, rows: Rows) -> None:
    rows.monitors.set((monitor_id,), begun_offset=folding.position.offset, begun_at=folding.appended_at)


def _identity(
    folding: Folding,
    data: RepositoryRegistered | RepositoryRenamed | RepositoryUpdated | RepositoryRemoved,
    rows: Rows,
) -> None:
    key = (data.repository_id, folding.position.offset)
    said: dict[str, object]
    match data:
        case RepositoryRegistered():
            said = {"name": data.name, "fork": data.fork, "archived": data.archived, "removed": False}
        case RepositoryRenamed():
            said = {"name": data.name}
        case RepositoryUpdated():
            said = {"fork": data.fork, "archived": data.archived}
        case RepositoryRemoved():
            said = {"removed": True}
    rows.identities.set(key, at=folding.appended_at, **said)
    rows.renewed(data.repository_id)


def _fired(folding: Folding, data: TriggerFired, rows: Rows) -> None:
    for run in data.runs:
        job_id = trigger_job_id(run.monitor_id, data.repository_id, data.moment)
        rows.jobs.set(
            (run.monitor_id, job_id),
            repository_id=data.repository_id,
            moment=data.moment,
            begun=run.begun,
            since=run.since,
            cause=data.cause.value,
            pushed_offset=data.pushed_offset,
            fired_at=folding.event.time,
            fired_appended_at=folding.appended_at,
        )
        if run.base is not None:
            rows.searched.set((run.monitor_id, data.repository_id, run.begun, run.since), base_oids=run.base)


def _evaluated(folding: Folding, data: TriggerEvaluated, outcome: RunOutcome, rows: Rows) -> None:
    job_id = trigger_job_id(outcome.monitor_id, data.repository_id, data.moment)
    rows.jobs.set(
        (outcome.monitor_id, job_id),
        repository_id=data.repository_id,
        moment=data.moment,
        begun=outcome.begun,
        since=outcome.since,
        evaluated_at=folding.event.time,
        evaluated_appended_at=folding.appended_at,
        evaluated_position=str(folding.position),
        status=outcome.status.value,
        query_string=outcome.query,
        search_results=msgspec.json.encode(outcome.results),
        result_count=outcome.result_count,
        match_count=outcome.match_count,
        blob=None if outcome.blob is None else msgspec.json.encode(outcome.blob),
        deliveries=msgspec.json.encode(outcome.deliveries),
        delivery_count=len(outcome.deliveries),
        logs=msgspec.json.encode(outcome.warnings),
        failure_reason=outcome.reason,
        failure_message=outcome.message,
    )
    if outcome.tips is not None and outcome.status in (RunStatus.COMPLETED, RunStatus.HIDDEN):
        rows.ended(
            Tips(
                outcome.monitor_id,
                data.repository_id,
                outcome.begun,
                outcome.since,
                job_id,
                str(folding.position),
                outcome.tips,
                data.pushed_offset,
            )
        )


def _action(folding: Folding, data: ActionRequested | ActionSucceeded | ActionFailed, rows: Rows) -> None:
    job_id = action_job_id(data.job_id, data.action_id, data.recipient)
    key = (data.monitor_id, job_id)
    rows.actions.set(key, trigger_event=data.job_id, action_id=data.action_id, recipient=data.recipient)
    match data:
        case ActionRequested():
            rows.actions.set(
                key,
                repository_id=data.repository_id,
                delivery_id=data.delivery_id,
                since=data.since,
                attempt=data.attempt,
                requested_at=folding.appended_at,
                requested_position=str(folding.position),
            )
        case ActionSucceeded():
            rows.actions.set(
                key,
                succeeded_at=folding.event.time,
                succeeded_attempt=data.attempt,
                message=data.message,
            )
        case ActionFailed():
            rows.actions.set(
                key,
                failed_at=folding.event.time,
                failed_attempt=data.attempt,
                failed_final=data.final,
                failure_reason=data.reason,
                failure_message=data.message,
                process_after=data.not_before,
            )
