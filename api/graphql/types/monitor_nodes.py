"""What resolvers of code monitors hand on, and what ``node(id)`` finds of them."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from api.commands.errors import ApiError, Code
from api.graphql import ids
from api.graphql.operation import Operation
from projections.monitors.queries import definitions, history
from projections.monitors.queries.definitions import Action, Monitor
from projections.monitors.queries.history import Run, Sent
from schemas.events import ActionKind

ACTION_KINDS = {
    ActionKind.EMAIL: ids.MONITOR_EMAIL,
    ActionKind.WEBHOOK: ids.MONITOR_WEBHOOK,
    ActionKind.SLACK_WEBHOOK: ids.MONITOR_SLACK_WEBHOOK,
}
_TYPES = {
    ActionKind.EMAIL: "MonitorEmail",
    ActionKind.WEBHOOK: "MonitorWebhook",
    ActionKind.SLACK_WEBHOOK: "MonitorSlackWebhook",
}


class Trigger(msgspec.Struct, frozen=True):
    """``MonitorQuery``."""

    monitor: Monitor


class ActionSource(msgspec.Struct, frozen=True):
    """An action; ``sent`` are its deliveries of one run, None: all of them."""

    monitor: Monitor
    action: Action
    sent: Sequence[Sent] | None = None


class EventSource(msgspec.Struct, frozen=True):
    """``MonitorTriggerEvent``."""

    monitor: Monitor
    run: Run


MonitorNode: TypeAlias = Monitor | Trigger | ActionSource | EventSource


def may_read(operation: Operation, monitor: Monitor) -> bool:
    """Its owner and site admins may; for all others it is not there."""
    user = operation.user
    return monitor.deleted_at is None and (user.site_admin or monitor.owner == user.name)


def monitor_of(operation: Operation, monitor_id: int) -> Monitor | None:
    """The monitor as who asks may read it."""
    found = definitions.by_ids(operation.reads.snapshot.connection, [monitor_id]).get(monitor_id)
    return found if found is not None and may_read(operation, found) else None


def required(operation: Operation, monitor_id: int, given: str) -> Monitor:
    """Raises ApiError NOT_FOUND, the same for one that is somebody else's."""
    found = monitor_of(operation, monitor_id)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "There is no such code monitor.", field="id", id=given)
    return found


def node_of(operation: Operation, kind: str, key: str) -> MonitorNode | None:
    """Whatever of a code monitor has this id."""
    if kind in (ids.MONITOR, ids.MONITOR_QUERY):
        if not (key.isascii() and key.isdigit()):
            return None
        found = monitor_of(operation, int(key))
        return Trigger(found) if found is not None and kind == ids.MONITOR_QUERY else found
    if kind != ids.MONITOR_EVENT and kind not in ACTION_KINDS.values():
        return None
    pair = ids.monitor_part(key)
    monitor = None if pair is None else monitor_of(operation, pair[0])
    if pair is None or monitor is None:
        return None
    if kind == ids.MONITOR_EVENT:
        runs = history.runs_by_id(operation.reads.snapshot.connection, monitor.id, [pair[1]])
        return EventSource(monitor, runs[0]) if runs else None
    action = next((one for one in monitor.actions if one.id == pair[1]), None)
    return None if action is None else ActionSource(monitor, action)


def kind_of(found: object) -> str | None:
    """The name of the GraphQL type."""
    match found:
        case Monitor():
            return "Monitor"
        case Trigger():
            return "MonitorQuery"
        case EventSource():
            return "MonitorTriggerEvent"
        case ActionSource():
            return _TYPES[found.action.kind]
    return None
