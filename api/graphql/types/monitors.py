"""``Monitor``, its trigger, and the lists that lead to them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from ariadne import InterfaceType, ObjectType, QueryType, UnionType

from api.auth.user import Means, User
from api.commands.errors import InputRefused
from api.commands.monitors import query_of
from api.graphql import ids
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.operation import Operation
from api.graphql.types.admin import require_site_admin
from api.graphql.types.freshness import AsOf, as_of
from api.graphql.types.info import Info, operation_of
from api.graphql.types.monitor_nodes import ActionSource, Trigger
from api.graphql.types.people import Person, may_administer, name_of, without_address
from api.graphql.types.repositories import PageInfo
from projections.monitors.queries import definitions, history
from projections.monitors.queries.definitions import Monitor
from projections.settings import queries as site_settings

query = QueryType()
user_type = ObjectType("User")
monitor_type = ObjectType("Monitor")
connection_type = ObjectType("MonitorConnection")
trigger_type = ObjectType("MonitorQuery")
namespace_type = InterfaceType("Namespace")
trigger_union = UnionType("MonitorTrigger")

_CURSOR = "monitors"
_MAXIMUM = 200
PROJECTION = frozenset({"monitors"})


class MonitorPage(msgspec.Struct, frozen=True, kw_only=True):
    """``MonitorConnection``; ``owner`` None: of all."""

    nodes: Sequence[Monitor]
    page_info: PageInfo
    owner: str | None


@namespace_type.type_resolver
def namespace_kind(_: object, *__: object) -> str:
    return "User"


@trigger_union.type_resolver
def trigger_kind(_: object, *__: object) -> str:
    return "MonitorQuery"


@query.field("monitors")
def resolve_monitors(_: object, info: Info, first: int, after: str | None = None) -> MonitorPage:
    require_site_admin(info)
    return _page(operation_of(info), first, after, None)


@user_type.field("monitors")
def resolve_user_monitors(
    user: Person, info: Info, first: int | None = 50, after: str | None = None
) -> MonitorPage:
    operation, name = operation_of(info), name_of(user)
    if name != operation.user.name and not operation.user.site_admin:
        return MonitorPage(nodes=(), page_info=PageInfo(), owner=name)
    return _page(operation, 50 if first is None else first, after, name)


@user_type.field("namespaceName")
def resolve_namespace_name(user: Person, _: Info) -> str:
    return name_of(user)


@user_type.field("cannotBeMailed")
def resolve_cannot_be_mailed(user: Person, info: Info) -> str | None:
    operation = operation_of(info)
    if not may_administer(operation, user):
        return None
    return operation.services.monitoring.sendable.mail_problem(without_address(operation, [name_of(user)]))


@query.field("validateCodeMonitorQuery")
def resolve_validate(_: object, __: Info, query: str) -> dict[str, object]:
    try:
        query_of(query, "query")
    except InputRefused as error:
        return {
            "query": query,
            "is_valid": False,
            "invalid_reason": f"{error} {error.remedy}".strip(),
            "position": error.extensions.get("position"),
            "length": error.extensions.get("length"),
        }
    return {"query": query, "is_valid": True}


@connection_type.field("totalCount")
def resolve_total_count(page: MonitorPage, info: Info) -> int:
    operation = operation_of(info)
    if page.owner not in (None, operation.user.name) and not operation.user.site_admin:
        return 0
    return definitions.count(operation.reads.snapshot.connection, page.owner)


@connection_type.field("asOf")
def resolve_as_of(_: object, info: Info) -> list[AsOf]:
    return as_of(operation_of(info), PROJECTION)


@monitor_type.field("id")
def resolve_id(monitor: Monitor, _: Info) -> str:
    return ids.node_id(ids.MONITOR, monitor.id)


@monitor_type.field("createdBy")
@monitor_type.field("owner")
def resolve_owner(monitor: Monitor, _: Info) -> User:
    return named_user(monitor.owner)


@monitor_type.field("trigger")
def resolve_trigger(monitor: Monitor, _: Info) -> Trigger:
    return Trigger(monitor)


@monitor_type.field("position")
def resolve_position(monitor: Monitor, _: Info) -> str:
    return monitor.created_position


@monitor_type.field("nextRun")
def resolve_next_run(monitor: Monitor, info: Info) -> datetime | None:
    if not monitor.enabled:
        return None
    operation = operation_of(info)
    connection = operation.reads.snapshot.connection
    newest, _ = history.newest(connection, [monitor.id]).get(monitor.id, (None, None))
    interval = timedelta(seconds=site_settings.values(connection).monitor_interval_s)
    last = newest or monitor.begun_at or operation.now
    # The net is thrown at every interval, whatever was caught.
    missed = max(0, (operation.now - last) // interval)
    return last + interval * (missed + 1)


@monitor_type.field("actions")
def resolve_actions(
    monitor: Monitor, _: Info, first: int | None = 50, after: str | None = None
) -> dict[str, object]:
    return listed([ActionSource(monitor, one) for one in monitor.actions])


@trigger_type.field("id")
def resolve_trigger_id(trigger: Trigger, _: Info) -> str:
    return ids.node_id(ids.MONITOR_QUERY, trigger.monitor.id)


@trigger_type.field("query")
def resolve_trigger_query(trigger: Trigger, _: Info) -> str:
    return trigger.monitor.query


def named_user(name: str) -> User:
    """The user of this name, as far as others see one."""
    return User(name=name, site_admin=False, means=Means.PROCESS)


def listed(nodes: Sequence[object]) -> dict[str, object]:
    """A connection of a list that is never long."""
    return {"nodes": nodes, "total_count": len(nodes), "page_info": PageInfo()}


def _page(operation: Operation, first: int, after: str | None, owner: str | None) -> MonitorPage:
    limit = _MAXIMUM if first < 0 else min(first, _MAXIMUM)
    rows = definitions.page(operation.reads.snapshot.connection, limit + 1, _after(after), owner)
    shown, more = rows[:limit], len(rows) > limit
    end = cursor(_CURSOR, shown[-1].created_at.isoformat(), shown[-1].id) if more and shown else None
    return MonitorPage(nodes=shown, page_info=PageInfo(end_cursor=end, has_next_page=more), owner=owner)


def _after(after: str | None) -> tuple[datetime, int] | None:
    if after is None:
        return None
    key = parse_cursor(_CURSOR, after)
    try:
        at, identity = key
        return datetime.fromisoformat(str(at)), int(identity)
    except ValueError as error:
        raise InputRefused("after", "this is no cursor of this list") from error


bindables = [query, user_type, monitor_type, connection_type, trigger_type, namespace_type, trigger_union]
