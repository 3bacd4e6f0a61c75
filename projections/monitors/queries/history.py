"""Runs of monitors and what was sent for them: the history, and what is still owed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, RowMapping

from projections.monitors.statements import placed
from schemas.events import Delivery, Found, ResultsBlob


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``state`` is processing, completed or failed, ``status`` how it ended; with results it is an event."""

    monitor_id: int
    id: int
    repository_id: int
    cause: str | None
    begun: int
    state: str
    status: str | None
    fired_at: datetime | None
    evaluated_at: datetime | None
    evaluated_position: str | None
    query: str
    results: tuple[Found, ...]
    result_count: int
    match_count: int
    blob: ResultsBlob | None
    deliveries: tuple[Delivery, ...]
    warnings: tuple[str, ...]
    reason: str
    message: str
    found_at: datetime | None
    """Append time of the outcome."""
    listed_at: datetime
    """By which the history is sorted: append time of its beginning, or of its outcome where that is not known."""

    @property
    def at(self) -> datetime | None:
        return self.evaluated_at or self.fired_at


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent for a run. ``state`` is queued, errored (tried again), completed or failed."""

    monitor_id: int
    id: int
    job_id: int
    action_id: int
    recipient: str
    repository_id: int | None
    delivery_id: str | None
    since: datetime | None
    attempt: int | None
    requested_position: str | None
    state: str
    succeeded_at: datetime | None
    failed_at: datetime | None
    failed_attempt: int | None
    message: str
    process_after: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state in ("completed", "failed")

    @property
    def at(self) -> datetime | None:
        return self.succeeded_at or self.failed_at


_RUN: Final = """
select j.monitor as monitor_id, j.id, j.repository_id, j.cause, j.begun, j.state, j.status, j.fired_at, j.evaluated_at,
  j.evaluated_position, coalesce(nullif(j.query_string, ''), q.query, '') as query, j.search_results,
  coalesce(j.result_count, 0) as result_count, coalesce(j.match_count, 0) as match_count, j.blob, j.deliveries, j.logs,
  coalesce(j.failure_reason, '') as reason, coalesce(j.failure_message, '') as message, j.evaluated_appended_at as found_at,
  coalesce(j.fired_appended_at, j.evaluated_appended_at) as listed_at
from monitors.cm_trigger_jobs j left join monitors.cm_queries q on q.monitor = j.monitor
"""
_NAMED: Final = """
with named as (
  select cast(convert_from(blob, 'UTF8') as jsonb) ->> 'sha256' as digest from monitors.cm_trigger_jobs where blob is not null
)
select distinct digest from named where digest = any(:digests)
"""
_PAGE: Final = f"""{_RUN}
where j.monitor = :monitor and (not :events or j.result_count > 0)
  and (cast(:at as timestamptz) is null or (coalesce(j.fired_appended_at, j.evaluated_appended_at), j.id) < (:at, :id))
order by coalesce(j.fired_appended_at, j.evaluated_appended_at) desc, j.id desc limit :first
"""
_COUNT: Final = """
select count(*) from monitors.cm_trigger_jobs where monitor = :monitor and (not :events or result_count > 0)
"""
_NEWEST: Final = """
select monitor, max(evaluated_at), max(evaluated_at) filter (where result_count > 0) from monitors.cm_trigger_jobs
where monitor = any(:monitors) group by monitor
"""
_SENT: Final = """
select monitor as monitor_id, id, trigger_event as job_id, action_id, recipient, repository_id, delivery_id, since, attempt,
  requested_position, state, succeeded_at, failed_at, failed_attempt, process_after,
  case when succeeded_at is not null then coalesce(message, '') else coalesce(failure_message, '') end as message
from monitors.cm_action_jobs
"""
_UNREQUESTED: Final = """
select j.monitor, j.id, j.evaluated_position from monitors.cm_trigger_jobs j
where j.delivery_count > 0 and exists (
  select from jsonb_to_recordset(cast(convert_from(j.deliveries, 'UTF8') as jsonb)) as d(action_id bigint, recipient text)
  where not exists (
    select from monitors.cm_action_jobs a
    where a.monitor = j.monitor and a.trigger_event = j.id and a.action_id = d.action_id and a.recipient = d.recipient)
) order by j.evaluated_appended_at, j.monitor, j.id limit :first
"""
"""Pair by pair: what a second outcome of the run asked for, which does not count, makes up for nothing."""
_PRUNABLE: Final = """
select distinct monitor from monitors.cm_trigger_jobs
where evaluated_appended_at < :all or (evaluated_appended_at < :empty and coalesce(result_count, 0) = 0)
order by monitor limit :first
"""


def runs(
    connection: Connection,
    monitor_id: int,
    first: int,
    after: tuple[datetime, int] | None = None,
    *,
    events_only: bool = False,
) -> list[Run]:
    """At most ``first`` runs, the newest first, after that (``listed_at``, id), whether the run is still there or not; with
    ``events_only`` those that found something."""
    at, job_id = (None, None) if after is None else after
    rows = connection.execute(
        placed(connection, _PAGE),
        {"monitor": monitor_id, "first": first, "at": at, "id": job_id, "events": events_only},
    )
    return [_run(row) for row in rows.mappings()]


def runs_by_id(connection: Connection, monitor_id: int, job_ids: Collection[int]) -> list[Run]:
    """The known ones of ``job_ids``."""
    rows = connection.execute(
        placed(connection, f"{_RUN} where j.monitor = :monitor and j.id = any(:ids)"),
        {"monitor": monitor_id, "ids": list(job_ids)},
    )
    return [_run(row) for row in rows.mappings()]


def count(connection: Connection, monitor_id: int, *, events_only: bool = False) -> int:
    """How many runs the history holds."""
    named = {"monitor": monitor_id, "events": events_only}
    return int(connection.execute(placed(connection, _COUNT), named).scalar_one())


def named_blobs(connection: Connection, digests: Collection[str]) -> frozenset[str]:
    """Those of these blobs, by SHA-256, in which results of a run stand."""
    return frozenset(connection.execute(placed(connection, _NAMED), {"digests": list(digests)}).scalars())


def newest(
    connection: Connection, monitor_ids: Collection[int]
) -> dict[int, tuple[datetime | None, datetime | None]]:
    """By monitor: when its newest run ended, and the newest that found something."""
    rows = connection.execute(placed(connection, _NEWEST), {"monitors": list(monitor_ids)})
    return {monitor: (ended, found) for monitor, ended, found in rows}


def sent_for(connection: Connection, monitor_id: int, job_ids: Collection[int]) -> list[Sent]:
    """What was asked to be sent for these runs, by id."""
    rows = connection.execute(
        placed(connection, f"{_SENT} where monitor = :monitor and trigger_event = any(:ids) order by id"),
        {"monitor": monitor_id, "ids": list(job_ids)},
    )
    return [Sent(**row) for row in rows.mappings()]


def sent_by_action(connection: Connection, monitor_id: int, action_id: int, first: int) -> list[Sent]:
    """The newest ``first`` things that one action sent, or was to send."""
    rows = connection.execute(
        placed(
            connection,
            f"{_SENT} where monitor = :monitor and action_id = :action order by requested_at desc nulls last, id limit :first",
        ),
        {"monitor": monitor_id, "action": action_id, "first": first},
    )
    return [Sent(**row) for row in rows.mappings()]


def sent_of(connection: Connection, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], Sent]:
    """By (monitor, action job id): the known ones."""
    rows = connection.execute(
        placed(
            connection,
            f"{_SENT} where (monitor, id) in (select * from unnest(cast(:monitors as bigint[]), cast(:ids as bigint[])))",
        ),
        {"monitors": [one[0] for one in keys], "ids": [one[1] for one in keys]},
    )
    return {(row["monitor_id"], row["id"]): Sent(**row) for row in rows.mappings()}


def waiting(connection: Connection, now: datetime, first: int) -> list[Sent]:
    """What failed and is to be tried again by now, the longest due first."""
    rows = connection.execute(
        placed(
            connection,
            f"{_SENT} where state = 'errored' and process_after <= :now order by process_after, id limit :first",
        ),
        {"now": now, "first": first},
    )
    return [Sent(**row) for row in rows.mappings()]


def queued(connection: Connection, first: int) -> list[Sent]:
    """What was asked for and has no outcome of that attempt, the oldest first."""
    rows = connection.execute(
        placed(
            connection,
            f"{_SENT} where state = 'queued' and requested_position is not null order by requested_at, id limit :first",
        ),
        {"first": first},
    )
    return [Sent(**row) for row in rows.mappings()]


def unrequested(connection: Connection, first: int) -> Sequence[tuple[int, int, str]]:
    """(monitor, job id, position of the outcome) of events for which something was not asked to be sent."""
    return [
        (row[0], row[1], row[2])
        for row in connection.execute(placed(connection, _UNREQUESTED), {"first": first})
    ]


def prunable(
    connection: Connection, *, empty_before: datetime, all_before: datetime, first: int
) -> list[int]:
    """Monitors whose history holds runs without results that ended before the one, or any before the other."""
    named = {"empty": empty_before, "all": all_before, "first": first}
    return list(connection.scalars(placed(connection, _PRUNABLE), named))


def _run(row: RowMapping) -> Run:
    fields = dict(row)
    results, blob = fields.pop("search_results"), fields.pop("blob")
    deliveries, logs = fields.pop("deliveries"), fields.pop("logs")
    return Run(
        **fields,
        results=() if results is None else msgspec.json.decode(results, type=tuple[Found, ...]),
        blob=None if blob is None else msgspec.json.decode(blob, type=ResultsBlob),
        deliveries=() if deliveries is None else msgspec.json.decode(deliveries, type=tuple[Delivery, ...]),
        warnings=() if logs is None else msgspec.json.decode(logs, type=tuple[str, ...]),
    )
