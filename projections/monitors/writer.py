"""Writes the changes of the monitors projection: set-wise upserts, what follows from rows, and the removals that an event ordered."""

from typing import Final

from projections.monitors.rows import Change, FirstPushes, Pruned, Searched, Tips
from projections.monitors.tables import METADATA
from projections.projection import Cursor
from projections.runner.rows import RowWriter

_RUNS: Final = """
delete from cm_trigger_jobs
where monitor = %(monitor)s and (evaluated_appended_at < %(all)s
  or (evaluated_appended_at < %(empty)s and coalesce(result_count, 0) = 0))
"""
_ACTIONS: Final = """
delete from cm_action_jobs a
where monitor = %(monitor)s and requested_at < %(all)s
  and not exists (select from cm_trigger_jobs j where j.monitor = a.monitor and j.id = a.trigger_event)
"""
"""What was asked for lately stays, whatever became of its run: who sends has to know that it was sent."""
_SEARCHED: Final = """
with counting as (
  select s.*, max(s.pushed_offset) over (partition by s.monitor_id, s.repo_id, s.begun, s.since) as covered
  from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])
    with ordinality as s(monitor_id, repo_id, begun, since, job_id, position, tips, pushed_offset, place)
  join cm_trigger_jobs j on j.monitor = s.monitor_id and j.id = s.job_id and j.evaluated_position = s.position
    and j.fired_appended_at is not null
)
insert into cm_last_searched as t (monitor_id, repo_id, begun, since, commit_oids, searched_offset)
select distinct on (monitor_id, repo_id, begun, since) monitor_id, repo_id, begun, since, tips::text[], covered
from counting order by monitor_id, repo_id, begun, since, place desc
on conflict (monitor_id, repo_id, begun, since) do update set
  commit_oids = excluded.commit_oids, searched_offset = greatest(t.searched_offset, excluded.searched_offset)
"""
"""An outcome said again, or late, after others of its repository: the row of its run has the first one, and so have positions.

Said again after its run was pruned it has a row of its own, which no beginning stands in: what begins is on the log before it is
given to anybody. A smaller push is no sign of that: a run that was given out again ends after younger ones, and has searched
from their tips.
"""
_FIRST_PUSHES: Final = """
update cm_repository_identities i set pushed_offset = p.pushed_offset from (
  select distinct on (s.repository_id, n."offset") s.repository_id, n."offset", s.pushed_offset
  from unnest(%s::bigint[], %s::bigint[]) as s(repository_id, pushed_offset)
  cross join lateral (
    select x."offset" from cm_repository_identities x
    where x.repository_id = s.repository_id and x."offset" < s.pushed_offset order by x."offset" desc limit 1
  ) n
  order by s.repository_id, n."offset", s.pushed_offset
) p
where i.repository_id = p.repository_id and i."offset" = p."offset" and i.pushed_offset is null
"""


class MonitorWriter:
    """Writer of one process; the runner's connection has the generation's schema as its search path."""

    def __init__(self) -> None:
        self._rows = RowWriter(METADATA)

    def __call__(self, cursor: Cursor, changes: list[Change]) -> int:
        """Apply ``changes`` in order; the number of rows written."""
        written = 0
        for change in changes:
            if isinstance(change, Pruned):
                data = change.data
                named = {"monitor": data.monitor_id, "empty": data.empty_before, "all": data.all_before}
                cursor.execute(_RUNS, named)
                cursor.execute(_ACTIONS, named)
            elif isinstance(change, Searched):
                cursor.execute(_SEARCHED, _columns(change.outcomes))
                written += cursor.rowcount
            elif isinstance(change, FirstPushes):
                cursor.execute(_FIRST_PUSHES, [list(column) for column in zip(*change.pushes, strict=True)])
                written += cursor.rowcount
            else:
                written += self._rows(cursor, [change])
        return written


def _columns(outcomes: list[Tips]) -> list[list[object]]:
    # Tips are hexadecimal: as arrays in text they need no quoting.
    rows = [
        (
            one.monitor_id,
            one.repository_id,
            one.begun,
            one.since,
            one.job_id,
            one.position,
            f"{{{','.join(one.tips)}}}",
            one.pushed_offset,
        )
        for one in outcomes
    ]
    return [list(column) for column in zip(*rows, strict=True)]
