"""Looks at every reader of the log on a timer, in one process of all that could: whoever holds the lock ``lag-sampler``."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra import metrics
from infra.kafka.admin import KafkaAdmin
from infra.kafka.errors import KafkaError
from infra.postgres.connect import connect, engine, try_advisory_lock
from infra.postgres.errors import DatabaseUnreachable
from infra.postgres.role import Role
from infra.settings import Settings
from projections.lag import exposition, standing
from projections.lag.append_times import AppendTimes
from projections.lag.canary import Canary
from projections.lag.model import CanaryReport, LagReport
from projections.lag.observe import Observer
from projections.lag.report import POLICIES, Policies, Windows, policies_for, report
from projections.lag.store import STALE_AFTER_S, age_s, forget, keep
from projections.rebuild.control import Rebuild, rebuilds
from projections.sharing import ALONE

LOCK: Final = "lag-sampler"
_TRY_AGAIN_S: Final = 2.0
_BUSY_WAITS_S: Final = 10.0
_FORGET_EVERY_S: Final = 60.0
_FAILURES: Final = (SQLAlchemyError, psycopg.Error, KafkaError, DatabaseUnreachable)
_log = structlog.get_logger()


class Sampler:
    """Call ``run`` in a thread of its own, or ``once`` for a single look.

    ``first_after_s``: how long to leave the work to other processes at the start.
    """

    def __init__(
        self,
        settings: Settings,
        database: Engine,
        stop: threading.Event,
        *,
        policies: Policies = POLICIES,
        first_after_s: float = 0.0,
    ) -> None:
        self._settings = settings
        self._engine = database
        self._stop = stop
        self._policies = policies_for(settings.lag_interval_s, policies)
        self._first_after_s = first_after_s
        self._by = f"{socket.gethostname()}-{os.getpid()}"
        self._latest: LagReport | None = None
        self._rebuilds: Sequence[Rebuild] = ()
        self._letters: Sequence[tuple[str, int, int]] = ()
        self._cluster = ""

    @property
    def latest(self) -> LagReport | None:
        """What this one has seen last; None: it has not had its turn."""
        return self._latest

    def run(self) -> None:
        """Until ``stop`` is set: wait for the lock, then look every ``lag_interval_s``."""
        self._stop.wait(self._first_after_s)
        while not self._stop.is_set():
            try:
                with connect(self._settings, Role.PROJECTOR, autocommit=True, name=LOCK) as session:
                    while not self._stop.is_set():
                        if try_advisory_lock(session, LOCK):
                            self._sample(session)
                        self._stop.wait(_TRY_AGAIN_S)
            except _FAILURES as error:
                _log.info("sampling_failed", error=str(error))
            except Exception:  # noqa: BLE001 - whatever it is: whoever watches must not end silently
                _log.exception("sampling_broken")
            self._stop.wait(_TRY_AGAIN_S)

    def _sample(self, session: "psycopg.Connection[tuple[object, ...]]") -> None:
        """While the session, and with it the lock, lives."""
        ended = threading.Event()
        source = metrics.Source(self._families)
        with ExitStack() as held:
            admin = held.enter_context(KafkaAdmin(self._settings, client_id="millstream-lag"))
            times = held.enter_context(AppendTimes(self._settings))
            self._cluster = admin.cluster_id()
            canary = self._canary(held, ended)
            metrics.REGISTRY.register(source)
            held.callback(metrics.REGISTRY.unregister, source)
            _log.info("sampling_lag", interval_s=self._settings.lag_interval_s)
            observer, windows = Observer(admin, times), Windows(self._policies)
            forgot_s = float("-inf")
            while not self._stop.is_set():
                began_s = time.monotonic()
                session.execute("select 1")
                told = canary.report() if canary is not None else CanaryReport(reason="switched off")
                self.look(observer, windows, told)
                if began_s - forgot_s > _FORGET_EVERY_S:
                    with self._engine.begin() as connection:
                        forget(connection, datetime.now(UTC))
                    forgot_s = began_s
                self._stop.wait(max(0.1, self._settings.lag_interval_s - (time.monotonic() - began_s)))

    def _canary(self, held: ExitStack, ended: threading.Event) -> Canary | None:
        if not self._settings.canary_interval_s:
            return None
        canary = Canary(self._settings, self._engine, ended)
        thread = threading.Thread(target=canary.run, name="canary", daemon=True)
        thread.start()
        held.callback(thread.join, 15.0)
        held.callback(ended.set)
        return canary

    def look(self, observer: Observer, windows: Windows, canary: CanaryReport) -> LagReport:
        """One look, kept for all who ask."""
        began_s = time.monotonic()
        with self._engine.connect() as connection:
            observed = observer.look(connection)
            self._rebuilds = rebuilds(connection)
            self._letters = standing.letters(connection)
        windows.add(observed)
        found = report(observed, windows, by=self._by, took_s=time.monotonic() - began_s, canary=canary)
        with self._engine.begin() as connection:
            keep(connection, found)
        self._latest = found
        return found

    def _families(self) -> Iterator[metrics.Family]:
        latest = self._latest
        if latest is None:
            return
        fresh = age_s(latest) < STALE_AFTER_S + self._settings.lag_interval_s
        yield from exposition.health(latest, fresh=fresh)
        if fresh:
            yield from exposition.families(latest, self._cluster)
            yield from exposition.of_rebuilds(self._rebuilds)
            yield from exposition.of_letters(self._letters)


def sample_lag(settings: Settings, stop: threading.Event, names: Sequence[str]) -> None:
    """The thread of a projector that folds ``names``: samples whenever it is its turn, until ``stop`` is set.

    A process that folds what fills it gives others time to begin first.
    """
    database = engine(settings, Role.PROJECTOR, pool_size=3, name=LOCK)
    busy = set(names) <= set(ALONE)
    try:
        Sampler(settings, database, stop, first_after_s=_BUSY_WAITS_S if busy else 0.0).run()
    finally:
        database.dispose()


def look_once(settings: Settings, database: Engine, policies: Policies = POLICIES) -> LagReport:
    """One look without memory: what only time can tell is UNKNOWN. For when nobody samples."""
    began_s = time.monotonic()
    windows = Windows(policies)
    with (
        KafkaAdmin(settings, client_id="millstream-lag") as admin,
        AppendTimes(settings, budget_s=10.0) as times,
        database.connect() as connection,
    ):
        observed = Observer(admin, times).look(connection)
    windows.add(observed)
    return report(
        observed,
        windows,
        by=f"{socket.gethostname()}-{os.getpid()}",
        took_s=time.monotonic() - began_s,
        canary=CanaryReport(reason="nobody sends any: no projector runs"),
    )
