"""Where monitors are: the newest pushes, what was searched last, and runs that have no outcome."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from sqlalchemy import Connection

from projections.monitors.statements import placed

Pair: TypeAlias = tuple[int, int]
"""(monitor, repository)."""


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push of a repository. ``first_pushed_offset`` is of the one that said that the clone is ready, since the
    repository was registered last."""

    repository_id: int
    first_pushed_offset: int | None
    pushed_partition: int
    pushed_offset: int
    pushed_at: datetime
    default_branch: str | None
    tip: str | None
    previous_tip: str | None
    refs_fingerprint: str

    @property
    def is_first(self) -> bool:
        return self.pushed_offset == self.first_pushed_offset


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a repository at ``offset`` of its partition; null as before."""

    repository_id: int
    offset: int
    at: datetime
    name: str | None
    fork: bool | None
    archived: bool | None
    removed: bool | None


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as searched since the match began (``since``). ``oids`` are tips, ``offset`` the newest push that is covered (None: no outcome yet)."""

    oids: tuple[str, ...]
    offset: int | None
    since: int


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that began and has no outcome."""

    monitor_id: int
    repository_id: int
    moment: str
    cause: str
    begun: int
    since: int
    pushed_offset: int
    base: tuple[str, ...] | None


class FailedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that failed, and whose push no outcome covers. ``at`` is the append time of its outcome."""

    monitor_id: int
    repository_id: int
    since: int
    cause: str | None
    at: datetime


_PUSHED: Final = """
select r.repository_id, first.pushed_offset as first_pushed_offset, pushed_partition, r.pushed_offset, pushed_at, default_branch, tip, previous_tip,
  coalesce(refs_fingerprint, '') as refs_fingerprint
from monitors.cm_repositories r cross join lateral (
  select min(i.pushed_offset) as pushed_offset from monitors.cm_repository_identities i
  where i.repository_id = r.repository_id and i."offset" > coalesce((
    select max(x."offset") from monitors.cm_repository_identities x
    where x.repository_id = r.repository_id and x.removed), -1)
) first
"""
"""What was pushed behind a removal and before the next registration was looked at too early, and counts for neither."""
_IDENTITIES: Final = """
select repository_id, "offset", at, name, fork, archived, removed from monitors.cm_repository_identities
where repository_id = any(:ids) order by repository_id, "offset"
"""
_SEARCHED: Final = """
select s.monitor_id, s.repo_id, s.since, coalesce(s.commit_oids, s.base_oids) as oids, s.searched_offset
from monitors.cm_last_searched s
join unnest(cast(:monitors as bigint[]), cast(:begun as bigint[])) k(monitor_id, begun)
  on k.monitor_id = s.monitor_id and k.begun = s.begun
where s.repo_id = any(:repositories) and coalesce(s.commit_oids, s.base_oids) is not null
order by s.monitor_id, s.repo_id, s.since
"""
_ENDED: Final = """
select monitor, id from monitors.cm_trigger_jobs
where (monitor, id) in (select * from unnest(cast(:monitors as bigint[]), cast(:jobs as bigint[])))
  and evaluated_at is not null
"""
_FAILED: Final = """
select j.monitor as monitor_id, j.repository_id, j.since, j.cause, j.evaluated_appended_at as at
from monitors.cm_trigger_jobs j
join unnest(cast(:monitors as bigint[]), cast(:begun as bigint[])) k(monitor_id, begun)
  on k.monitor_id = j.monitor and k.begun = j.begun
left join monitors.cm_last_searched s on s.monitor_id = j.monitor and s.repo_id = j.repository_id and s.begun = j.begun
  and s.since = j.since
where j.status = 'failed' and j.repository_id = any(:repositories)
  and coalesce(s.searched_offset < j.pushed_offset, true)
order by j.evaluated_appended_at, j.id
"""
_OPEN: Final = """
select j.monitor as monitor_id, j.repository_id, j.moment, j.cause, j.begun, j.since, j.pushed_offset, s.base_oids as base
from monitors.cm_trigger_jobs j
join monitors.cm_monitors m on m.id = j.monitor and m.begun_offset = j.begun and m.deleted_at is null and m.enabled
left join monitors.cm_last_searched s on s.monitor_id = j.monitor and s.repo_id = j.repository_id and s.begun = j.begun
  and s.since = j.since
where j.evaluated_at is null and j.fired_appended_at < :before
order by j.fired_appended_at, j.monitor, j.id limit :first
"""


def pushed(connection: Connection, repository_ids: Collection[int]) -> dict[int, Pushed]:
    """The newest push of each of these, as far as there was one."""
    rows = connection.execute(
        placed(connection, f"{_PUSHED} where r.repository_id = any(:ids)"), {"ids": list(repository_ids)}
    )
    return {row["repository_id"]: Pushed(**row) for row in rows.mappings()}


def identities(connection: Connection, repository_ids: Collection[int]) -> dict[int, list[Identity]]:
    """What was said of each of these repositories, in the order of the log."""
    statement = placed(connection, _IDENTITIES)
    found: dict[int, list[Identity]] = {}
    for row in connection.execute(statement, {"ids": list(repository_ids)}).mappings():
        found.setdefault(row["repository_id"], []).append(Identity(**row))
    return found


def pushed_since(connection: Connection, at: datetime) -> list[Pushed]:
    """Repositories that were pushed to after ``at``, by id."""
    rows = connection.execute(
        placed(connection, f"{_PUSHED} where pushed_at > :at order by r.repository_id"), {"at": at}
    )
    return [Pushed(**row) for row in rows.mappings()]


def searched(
    connection: Connection, monitors: Collection[tuple[int, int]], repository_ids: Collection[int]
) -> dict[Pair, Searched]:
    """By (monitor, repository): what counts as searched since the monitor began, and the match last. ``monitors`` are
    (id, begun offset)."""
    rows = connection.execute(
        placed(connection, _SEARCHED),
        {
            "monitors": [one[0] for one in monitors],
            "begun": [one[1] for one in monitors],
            "repositories": list(repository_ids),
        },
    )
    return {
        (row.monitor_id, row.repo_id): Searched(
            oids=tuple(row.oids), offset=row.searched_offset, since=row.since
        )
        for row in rows
    }


def failed(
    connection: Connection, monitors: Collection[tuple[int, int]], repository_ids: Collection[int]
) -> list[FailedRun]:
    """Runs that failed in these repositories since the monitors, (id, begun offset), were right there last; the oldest first."""
    rows = connection.execute(
        placed(connection, _FAILED),
        {
            "monitors": [one[0] for one in monitors],
            "begun": [one[1] for one in monitors],
            "repositories": list(repository_ids),
        },
    )
    return [FailedRun(**row) for row in rows.mappings()]


def ended(connection: Connection, runs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these (monitor, job id) that have an outcome."""
    rows = connection.execute(
        placed(connection, _ENDED), {"monitors": [one[0] for one in runs], "jobs": [one[1] for one in runs]}
    )
    return {(monitor, job) for monitor, job in rows}


def open_runs(connection: Connection, before: datetime, first: int) -> list[OpenRun]:
    """At most ``first`` runs that began before that time, of monitors that still look, and have no outcome; the oldest first."""
    rows = connection.execute(placed(connection, _OPEN), {"before": before, "first": first})
    return [
        OpenRun(**{**row, "base": None if row["base"] is None else tuple(row["base"])})
        for row in rows.mappings()
    ]
