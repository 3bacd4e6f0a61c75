"""Writes the changes of the monitors projection: set-wise upserts, and the removals that an event ordered."""

from typing import Final

from projections.monitors.fold import Change, Pruned
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
            else:
                written += self._rows(cursor, [change])
        return written
