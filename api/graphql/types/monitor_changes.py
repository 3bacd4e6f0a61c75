"""Mutations of code monitors: one event each."""

import secrets
from collections.abc import Callable, Mapping
from typing import Self

import msgspec
from ariadne import MutationType

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.monitors import ActionReader, Known, description_of, query_of
from api.graphql import ids
from api.graphql.operation import Operation
from api.graphql.types import people
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.types.monitor_nodes import ACTION_KINDS, monitor_of, required
from api.graphql.writing import earlier, event_of, key_of, said_before, write
from projections.monitors.queries.definitions import Action, Monitor
from schemas.events import (
    ActionKind,
    MonitorAction,
    MonitorCreated,
    MonitorDeleted,
    MonitorRunRequested,
    MonitorToggled,
    MonitorUpdated,
    SecretPlace,
)
from schemas.ids import aggregate_id
from schemas.registry import Payload
from streams.monitors.delivery.signing import key_text, new_key
from streams.monitors.doors import SecretMissing

mutation = MutationType()
Input = Mapping[str, object]


class _Before(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit is compared with: its event says only what it changes."""

    query: str | None
    enabled: bool | None
    actions: Mapping[int, Known]

    @classmethod
    def of(cls, found: Monitor) -> Self:
        """The monitor as it is."""
        actions = {one.id: _known(one) for one in found.actions}
        return cls(query=found.query, enabled=found.enabled, actions=actions)

    @classmethod
    def of_repeat(cls, said: MonitorUpdated) -> Self:
        """The monitor as it was when the same key was used first, as far as the event tells: the same wish is the same event again."""
        actions = {one.action_id: Known(one.kind, None, one.url, one.signing) for one in said.actions}
        return cls(
            query=said.kept_query if said.query is None else None,
            enabled=said.kept_enabled if said.enabled is None else None,
            actions=actions,
        )


@mutation.field("createCodeMonitor")
def resolve_create(_: object, info: Info, monitor: Input, trigger: Input, actions: list[Input]) -> Monitor:
    operation, key = operation_of(info), key_of(info)
    owner = own_namespace(operation, monitor.get("namespace"), "monitor.namespace")
    seed = key or secrets.token_hex(16)
    monitor_id = aggregate_id("monitor", operation.user.name, seed)
    description, query = description_of(monitor.get("description")), query_of(trigger.get("query"))
    reader = _reader(operation, owner, f"{monitor_id}\x1f{seed}", {}, once=key)
    payload = MonitorCreated(
        monitor_id=monitor_id,
        description=description,
        owner=owner,
        created_at=operation.now,
        enabled=bool(monitor.get("enabled")),
        query=query.text,
        actions=_kept(lambda: reader.actions(actions, lambda given, kind, field: None)),
    )
    return _written(info, payload, monitor_id)


@mutation.field("updateCodeMonitor")
def resolve_update(_: object, info: Info, monitor: Input, trigger: Input, actions: list[Input]) -> Monitor:
    operation = operation_of(info)
    given = str(monitor.get("id"))
    found = required(operation, ids.monitor_id_of(given, "monitor.id"), given)
    update, changed = monitor.get("update"), trigger.get("update")
    update = update if isinstance(update, Mapping) else {}
    changed = changed if isinstance(changed, Mapping) else {}
    if user_of(operation, update.get("namespace"), "monitor.update.namespace") != found.owner:
        raise InputRefused("monitor.update.namespace", "a code monitor keeps its owner")
    query = query_of(changed.get("query"), "trigger.update.query")
    enabled = bool(update.get("enabled"))
    description = description_of(update.get("description"))
    seed = f"{found.id}\x1f{key_of(info) or secrets.token_hex(16)}"
    wish = MonitorUpdated(monitor_id=found.id, description=description, actions=[])
    said = said_before(info, event_of(info, wish))
    before = _Before.of(found) if not isinstance(said, MonitorUpdated) else _Before.of_repeat(said)
    reader = _reader(operation, found.owner, seed, before.actions, once=key_of(info))

    def id_of(text: object, kind: ActionKind, field: str) -> int | None:
        if not isinstance(text, str) or not text:
            return None
        monitor_id, action_id = ids.monitor_part_of(text, ACTION_KINDS[kind], f"{field}.id")
        return action_id if monitor_id == found.id else -1

    payload = MonitorUpdated(
        monitor_id=found.id,
        description=description,
        actions=_kept(lambda: reader.actions(actions, id_of)),
        query=None if query.text == before.query else query.text,
        enabled=None if enabled is before.enabled else enabled,
        kept_query=query.text if query.text == before.query else "",
        kept_enabled=enabled if enabled is before.enabled else None,
        changed_by=operation.user.name,
    )
    return _written(info, payload, found.id)


@mutation.field("toggleCodeMonitor")
def resolve_toggle(_: object, info: Info, id: str, enabled: bool) -> Monitor:  # noqa: A002
    operation, monitor_id = operation_of(info), ids.monitor_id_of(id)
    found = required(operation, monitor_id, id)
    if found.enabled is enabled:
        return found
    payload = MonitorToggled(monitor_id=monitor_id, enabled=enabled, changed_by=operation.user.name)
    return _written(info, payload, monitor_id)


@mutation.field("runCodeMonitor")
def resolve_run(_: object, info: Info, id: str) -> Monitor:  # noqa: A002
    return _run(info, required(operation_of(info), ids.monitor_id_of(id), id))


@mutation.field("resetTriggerQueryTimestamps")
def resolve_reset(_: object, info: Info, id: str) -> dict[str, object]:  # noqa: A002
    require_site_admin(info)
    _run(info, required(operation_of(info), ids.monitor_query_id_of(id), id))
    return {}


@mutation.field("deleteCodeMonitor")
def resolve_delete(_: object, info: Info, id: str) -> dict[str, object]:  # noqa: A002
    operation, monitor_id = operation_of(info), ids.monitor_id_of(id)
    event = event_of(info, MonitorDeleted(monitor_id=monitor_id, deleted_by=operation.user.name))
    if earlier(info, event, identity=id) is None:
        required(operation, monitor_id, id)
        write(info, event, identity=id)
    return {}


def _run(info: Info, found: Monitor) -> Monitor:
    if not found.enabled:
        raise InputRefused("id", "a disabled code monitor does not look", remedy="Enable it first.")
    payload = MonitorRunRequested(monitor_id=found.id, requested_by=operation_of(info).user.name)
    return _written(info, payload, found.id)


def _written(info: Info, payload: Payload, monitor_id: int) -> Monitor:
    operation, identity = operation_of(info), ids.node_id(ids.MONITOR, monitor_id)
    event = event_of(info, payload)
    if earlier(info, event, identity=identity) is None:
        write(info, event, identity=identity)
    found = monitor_of(operation, monitor_id)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "This code monitor was deleted.", id=identity)
    return found


def _kept(read: Callable[[], list[MonitorAction]]) -> list[MonitorAction]:
    """What ``read`` gives; an installation that keeps no secrets says so."""
    try:
        return read()
    except SecretMissing as error:
        raise ApiError(Code.NOT_SUPPORTED, str(error), remedy=error.remedy) from error


def _reader(
    operation: Operation,
    owner: str,
    seed: str,
    known: Mapping[int, Known],
    *,
    once: str | None,
) -> ActionReader:
    """With ``once``, an Idempotency-Key, what is kept and made for the same wish is the same again, whatever is projected by then."""
    services, monitoring = operation.services, operation.services.monitoring

    def keep(secret: str, kind: str) -> SecretPlace:
        return monitoring.keep(secret, kind, owner, None if once is None else seed)

    def make_key(action_id: int) -> str:
        if once is None:
            return new_key()
        return key_text(services.vaults.key.digest("signing key", seed, str(action_id)))

    return ActionReader(
        keep=keep,
        make_key=make_key,
        user_of=lambda given, field: user_of(operation, given, field),
        slack_hosts=monitoring.slack_hosts,
        seed=seed,
        known=known,
    )


def _known(one: Action) -> Known:
    url = None if one.url_ref is None else SecretPlace(ref=one.url_ref, fingerprint=one.url_fingerprint or "", host=one.host)  # fmt: skip
    signing = None if one.signing_ref is None else SecretPlace(ref=one.signing_ref, fingerprint=one.signing_fingerprint or "")  # fmt: skip
    return Known(one.kind, one.url_fingerprint, url, signing)


def own_namespace(operation: Operation, given: object, field: str) -> str:
    """The name of the user in whose namespace a monitor may be made. Raises InputRefused."""
    owner = user_of(operation, given, field)
    if owner != operation.user.name and not operation.user.site_admin:
        raise InputRefused(field, "a code monitor is created in one's own namespace")
    return owner


def user_of(operation: Operation, given: object, field: str) -> str:
    """The user's name behind the id of a namespace. Raises InputRefused."""
    person = people.node_of(operation, str(ids.user_id_of(str(given), field)))
    if person is None:
        raise InputRefused(field, "this is no user", remedy="Only users own code monitors and get mails.")
    return people.name_of(person)


bindables = [mutation]
