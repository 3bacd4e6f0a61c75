"""Doing a rebuild, or watching it where somebody else does it already."""

import threading
from typing import Final

from sqlalchemy import Engine

from infra.settings import Settings
from projections.rebuild import store
from projections.rebuild.errors import RebuildRefused, SomebodyElse
from projections.rebuild.execution import run_rebuild
from projections.rebuild.machine import TO_TAKE
from projections.rebuild.store import Rebuild
from projections.rebuild.watch import Report

_LOOK_S: Final = 0.5


def follow(
    settings: Settings, engine: Engine, rebuild_id: int, stop: threading.Event, report: Report
) -> Rebuild:
    """Until it has ended, waits for a person, or ``stop`` is set; how it stands then.

    Whoever has the lock works; this process does when nobody else does. Raises RebuildRefused where this build may not.
    """
    while True:
        try:
            return run_rebuild(settings, rebuild_id, stop, report)
        except RebuildRefused as error:
            found = _look(engine, rebuild_id)
            report(found)
            if found.state not in TO_TAKE or stop.is_set():
                return found
            if not isinstance(error, SomebodyElse):
                raise
        stop.wait(_LOOK_S)


def _look(engine: Engine, rebuild_id: int) -> Rebuild:
    with engine.connect() as connection:
        return store.find(connection, rebuild_id)
