"""What a projector does for one projection: it keeps current every generation whose fold it carries, and works on rebuilds."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.settings import Settings
from projections import people_views
from projections.generations import (
    Generation,
    LiveGeneration,
    ensure_generation,
    fingerprint,
    fits,
)
from projections.projection import Projection
from projections.rebuild.board import Board, Seen
from projections.rebuild.control import order_of, sweep_cancelled
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.execution import AUTOMATIC, run_rebuild, tell
from projections.rebuild.listing import carried
from projections.rebuild.machine import TO_TAKE, RebuildState
from projections.rebuild.store import Rebuild
from projections.runner.failures import TRANSIENT
from projections.runner.notify import Notifier
from projections.runner.runner import Runner
from schemas.errors import MillstreamError, MustStop

_INTERVAL_S: Final = 1.0
_ORPHANED_AFTER: Final = timedelta(seconds=3)
"""A rebuild of which nobody has written how far it is for so long has perhaps lost its worker; the lock decides."""
_UNTOLD_AFTER: Final = timedelta(seconds=10)
_SWEEP_INTERVAL_S: Final = 10.0
_log = structlog.get_logger()


class _Kept:
    """A runner of one generation in a thread of its own."""

    def __init__(
        self, settings: Settings, one: Projection, generation: Generation, notifier: Notifier
    ) -> None:
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self._runner = Runner(settings, one, generation, notifier, self.stop)
        self._thread = threading.Thread(
            target=self._run, name=f"projection-{one.name}-g{generation.number}", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self._runner.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the keeper
            self.failure = error

    def close(self) -> None:
        self.stop.set()
        self._thread.join()


class Keeper:
    """Call ``run`` in a thread of its own; it returns after ``stop`` is set, or raises what stopped the live generation."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        one: Projection,
        notifier: Notifier,
        stop: threading.Event,
        board: Board,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._board = board
        self._one = one
        self._fingerprint = fingerprint(one)
        self._notifier = notifier
        self._stop = stop
        self._kept: dict[int, _Kept] = {}
        self._given_up: set[int] = set()
        self._live = 0
        self._swept_s = 0.0
        self._rebuilding: threading.Thread | None = None
        self._log = _log.bind(projection=one.name)

    @property
    def kept(self) -> list[tuple[str, int]]:
        """(projection, generation) of everything that is kept current now."""
        now = list(self._kept)  # at once: another thread asks
        return [(self._one.name, number) for number in sorted(now)]

    def run(self) -> None:
        """Until ``stop`` is set. Raises MustStop."""
        try:
            self._begin()
            while not self._stop.is_set():
                try:
                    self._look()
                except (*TRANSIENT, SQLAlchemyError) as error:
                    self._log.warning("retrying", error=str(error))
                self._stop.wait(_INTERVAL_S)
        finally:
            for one in self._kept.values():
                one.stop.set()
            for one in self._kept.values():
                one.close()
            if self._rebuilding is not None:
                self._rebuilding.join()

    def _begin(self) -> None:
        while not self._stop.is_set():
            try:
                generation = ensure_generation(self._engine, self._one)
                break
            except (*TRANSIENT, SQLAlchemyError) as error:
                self._log.warning("retrying", error=str(error))
                self._stop.wait(_INTERVAL_S)
        else:
            return
        self._log.info("projection_started", generation=generation.number)
        if not fits(self._one, generation):
            self._log.warning(
                "outdated",
                generation=generation.number,
                reason="the live generation was built by another fold or with other tables; readers are served by it "
                "until a rebuild is swapped in",
            )

    def _look(self) -> None:
        # Before the look at what is wanted: what failed because its generation was dropped is wanted no more by then.
        failures = {number: kept.failure for number, kept in self._kept.items() if kept.failure is not None}
        seen = self._board.look(afresh=bool(failures))
        live = seen.live.get(self._one.name)
        wanted = self._wanted(seen, live)
        rebuilds = seen.rebuilds_of(self._one.name)
        if live is not None and live.number != self._live and live.number in wanted:
            # Also where whoever swapped died before it could.
            people_views.refresh(self._engine, self._one, wanted[live.number])
        self._live = live.number if live is not None else 0
        self._keep(wanted, failures)
        self._take(rebuilds)
        if live is not None:
            self._order_when_changed(live, rebuilds)
        for rebuild in rebuilds:
            if (
                rebuild.state is RebuildState.SWAPPED
                and rebuild.told_at is None
                and _old(rebuild, _UNTOLD_AFTER)
            ):
                tell(self._settings, self._engine, rebuild)
        if time.monotonic() >= self._swept_s:
            self._swept_s = time.monotonic() + _SWEEP_INTERVAL_S
            sweep_cancelled(self._engine, rebuilds)

    def _wanted(self, seen: Seen, live: LiveGeneration | None) -> dict[int, Generation]:
        """Generations of this very fold that readers use, or used before."""
        mine = (self._one.version, self._fingerprint)
        places = {
            kept.number: kept.schema_name
            for kept in seen.kept
            if kept.projection == self._one.name and (kept.version, kept.fingerprint) == mine
        }
        if live is not None and (live.version, live.fingerprint) == mine:
            places[live.number] = live.schema_name
        return {
            number: Generation(
                projection=self._one.name,
                number=number,
                schema_name=schema,
                version=self._one.version,
                fingerprint=self._fingerprint,
                live=live is not None and number == live.number,
            )
            for number, schema in places.items()
        }

    def _keep(self, wanted: dict[int, Generation], failures: dict[int, BaseException]) -> None:
        for number in self._kept.keys() - wanted.keys():
            kept = self._kept.pop(number)
            kept.close()
            reason = "" if kept.failure is None else repr(kept.failure)
            self._log.info("generation_not_kept", generation=number, reason=reason)
        for number in failures.keys() & wanted.keys():
            self._failed(number, failures[number])
        for number, generation in wanted.items():
            if number not in self._kept and number not in self._given_up:
                self._log.info("generation_kept", generation=number, live=generation.live)
                self._kept[number] = _Kept(self._settings, self._one, generation, self._notifier)

    def _failed(self, number: int, failure: BaseException) -> None:
        """What stops the live generation stops the projection; another one is left behind."""
        if number == self._live or not isinstance(failure, MustStop):
            raise failure
        self._log.error("generation_left_behind", generation=number, reason=str(failure))
        self._given_up.add(number)
        self._kept.pop(number).close()

    def _take(self, rebuilds: list[Rebuild]) -> None:
        """Work on an open rebuild of this fold that nobody works on."""
        if self._rebuilding is not None and self._rebuilding.is_alive():
            return
        for rebuild in rebuilds:
            mine = (rebuild.version, rebuild.fingerprint) == (self._one.version, self._fingerprint)
            waits = rebuild.state is RebuildState.ORDERED or _old(rebuild, _ORPHANED_AFTER)
            if mine and rebuild.state in TO_TAKE and waits:
                self._rebuilding = threading.Thread(
                    target=self._rebuild, args=(rebuild.id,), name=f"rebuild-{self._one.name}", daemon=True
                )
                self._rebuilding.start()
                return

    def _rebuild(self, rebuild_id: int) -> None:
        try:
            run_rebuild(self._settings, rebuild_id, self._stop, one=self._one)
        except RebuildRefused as error:
            self._log.info("rebuild_not_taken", rebuild=rebuild_id, reason=str(error))
        except (MillstreamError, SQLAlchemyError, *TRANSIENT) as error:
            self._log.warning("rebuild_left", rebuild=rebuild_id, reason=str(error))

    def _order_when_changed(self, live: LiveGeneration, rebuilds: list[Rebuild]) -> None:
        """Order a rebuild by this fold, once, where that is wanted: where it is newer, or nobody keeps the live one."""
        mine = (self._one.version, self._fingerprint)
        if not self._settings.rebuilds_changed or (live.version, live.fingerprint) == mine:
            return
        if rebuilds and (
            (rebuilds[0].version, rebuilds[0].fingerprint) == mine
            or rebuilds[0].state in (*TO_TAKE, RebuildState.PAUSED)
        ):
            return
        if self._one.version <= live.version:
            with self._engine.connect() as connection:
                if (self._one.name, live.number) in carried(connection):
                    return
        try:
            ordered = order_of(
                self._engine,
                self._one,
                accept=True,
                ordered_by=AUTOMATIC,
                reason=f"generation {live.number} was built by version {live.version} of the fold or with other tables",
            )
            self._log.warning("rebuild_ordered", generation=ordered.generation, reason=ordered.reason)
        except RebuildRefused as error:
            self._log.info("rebuild_not_ordered", reason=str(error))


def _old(rebuild: Rebuild, than: timedelta) -> bool:
    return datetime.now(UTC) - rebuild.updated_at > than
