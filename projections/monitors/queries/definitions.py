"""Monitors and their actions, as they are now."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection

from projections.monitors.statements import placed
from schemas.events import ActionKind, EmailPriority


class StandingMonitor(msgspec.Struct, frozen=True, kw_only=True):
    """A monitor that looks: enabled, and not deleted. What was pushed until ``begun_at`` is its past."""

    id: int
    owner: str
    query: str
    begun_offset: int
    begun_at: datetime


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action of a monitor. ``disabled_message`` says why its receiver wants no more, else empty.

    ``defined_offset`` is that of the event that defined it; None of one that is in no monitor.
    """

    id: int
    kind: ActionKind
    place: int
    enabled: bool
    include_results: bool
    priority: EmailPriority = EmailPriority.NORMAL
    header: str = ""
    recipients: tuple[str, ...] = ()
    url_ref: str | None = None
    url_fingerprint: str | None = None
    host: str = ""
    signing_ref: str | None = None
    signing_fingerprint: str | None = None
    disabled_message: str = ""
    is_disabled: bool = False
    defined_offset: int | None = None

    @property
    def sends(self) -> bool:
        return self.enabled and not self.is_disabled


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """A monitor with its actions, in their order."""

    id: int
    description: str
    owner: str
    created_at: datetime
    created_position: str
    changed_at: datetime
    enabled: bool
    query: str
    begun_offset: int | None
    begun_at: datetime | None
    deleted_at: datetime | None
    actions: tuple[Action, ...] = ()


_COLUMNS: Final = """
m.id, m.description, m.owner, m.created_at, m.created_position, m.changed_at, m.enabled, q.query,
m.begun_offset, m.begun_at, m.deleted_at
"""
_FROM: Final = "monitors.cm_monitors m join monitors.cm_queries q on q.monitor = m.id"
_STANDING: Final = f"""
select m.id, m.owner, q.query, m.begun_offset, m.begun_at from {_FROM}
where m.enabled and m.deleted_at is null and m.begun_offset is not null order by m.id
"""
_BY_IDS: Final = f"select {_COLUMNS} from {_FROM} where m.id = any(:ids)"
_PAGE: Final = f"""
select {_COLUMNS} from {_FROM}
where m.deleted_at is null and (cast(:owner as text) is null or m.owner = :owner)
  and (cast(:created_at as timestamptz) is null or (m.created_at, m.id) < (:created_at, :id))
order by m.created_at desc, m.id desc limit :first
"""
_COUNT: Final = f"""
select count(*) from {_FROM} where m.deleted_at is null and (cast(:owner as text) is null or m.owner = :owner)
"""
_EMAILS: Final = """
select a.monitor, a.id, a.place, a.enabled, a.include_results, a.defined_offset, a.priority, a.header,
  coalesce(array_agg(r.namespace_user order by r.place) filter (where r.place is not null), '{}') as recipients
from monitors.cm_emails a join monitors.cm_monitors m on m.id = a.monitor and m.defined_offset = a.defined_offset
left join monitors.cm_recipients r on r.monitor = a.monitor and r.email = a.id and r.defined_offset = a.defined_offset
where a.monitor = any(:ids)
group by a.monitor, a.id, a.place, a.enabled, a.include_results, a.defined_offset, a.priority, a.header
"""
_WEBHOOKS: Final = """
select a.monitor, a.id, a.place, a.enabled, a.include_results, a.defined_offset, a.url_ref, a.url_fingerprint, a.host,
  a.signing_ref, a.signing_fingerprint, coalesce(a.disabled_offset >= a.defined_offset, false) as is_disabled,
  coalesce(a.disabled_message, '') as disabled_message
from monitors.{table} a join monitors.cm_monitors m on m.id = a.monitor and m.defined_offset = a.defined_offset
where a.monitor = any(:ids)
"""
_SECRETS: Final = """
select a.url_ref, a.signing_ref
from monitors.{table} a join monitors.cm_monitors m on m.id = a.monitor and m.defined_offset = a.defined_offset
where m.deleted_at is null
"""
_KINDS: Final[Mapping[ActionKind, str]] = {
    ActionKind.WEBHOOK: "cm_webhooks",
    ActionKind.SLACK_WEBHOOK: "cm_slack_webhooks",
}


def standing(connection: Connection) -> list[StandingMonitor]:
    """Every monitor that looks, by id."""
    return [StandingMonitor(**row) for row in connection.execute(placed(connection, _STANDING)).mappings()]


def by_ids(connection: Connection, ids: Collection[int]) -> dict[int, Monitor]:
    """The known ones of ``ids``, deleted ones too."""
    return _monitors(connection, _BY_IDS, {"ids": list(ids)})


def page(
    connection: Connection, first: int, after: tuple[datetime, int] | None = None, owner: str | None = None
) -> list[Monitor]:
    """At most ``first`` monitors, the newest first, after that key; of ``owner`` where one is named."""
    created_at, monitor_id = (None, None) if after is None else after
    named = {"first": first, "owner": owner, "created_at": created_at, "id": monitor_id}
    return list(_monitors(connection, _PAGE, named).values())


def count(connection: Connection, owner: str | None = None) -> int:
    """How many monitors there are, of ``owner`` where one is named."""
    return int(connection.execute(placed(connection, _COUNT), {"owner": owner}).scalar_one())


def secret_refs(connection: Connection) -> frozenset[str]:
    """What the actions of all monitors name in the vault; not those of deleted monitors, nor what an edit has replaced."""
    return frozenset(
        ref
        for table in _KINDS.values()
        for row in connection.execute(placed(connection, _SECRETS.format(table=table)))
        for ref in row
        if ref is not None
    )


def _monitors(connection: Connection, statement: str, named: Mapping[str, object]) -> dict[int, Monitor]:
    rows = connection.execute(placed(connection, statement), named).mappings().all()
    actions = _actions(connection, [row["id"] for row in rows])
    return {row["id"]: Monitor(**row, actions=actions.get(row["id"], ())) for row in rows}


def _actions(connection: Connection, ids: Collection[int]) -> dict[int, tuple[Action, ...]]:
    if not ids:
        return {}
    found: dict[int, list[Action]] = {}
    for row in connection.execute(placed(connection, _EMAILS), {"ids": list(ids)}).mappings():
        fields = {
            **row,
            "priority": EmailPriority(row["priority"]),
            "recipients": tuple(row["recipients"]),
            "kind": ActionKind.EMAIL,
        }
        found.setdefault(fields.pop("monitor"), []).append(Action(**fields))
    for kind, table in _KINDS.items():
        for row in connection.execute(
            placed(connection, _WEBHOOKS.format(table=table)), {"ids": list(ids)}
        ).mappings():
            fields = {**row, "kind": kind}
            found.setdefault(fields.pop("monitor"), []).append(Action(**fields))
    return {
        monitor: tuple(sorted(actions, key=lambda one: (one.place, one.id)))
        for monitor, actions in found.items()
    }
