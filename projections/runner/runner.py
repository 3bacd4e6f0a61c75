"""Keeps one generation of one projection up to date: the writing half, and the life around it.

The transaction is the commit: {compare-and-set of the checkpoints, rows, dead letters}. After it come the NOTIFY and
Kafka's advisory commit, both of which may be lost.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import psycopg
import structlog
from psycopg import sql

from infra import metrics
from infra.kafka.errors import KafkaError, OffsetOutOfRange
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import Generation
from projections.projection import Projection
from projections.runner.applying import apply
from projections.runner.batch import Batch
from projections.runner.checkpoint import Connection, State
from projections.runner.deriver import Deriver
from projections.runner.errors import (
    Fenced,
    FoldFailed,
    FoldRaised,
    LogMismatch,
    LogTruncated,
    SlotLost,
)
from projections.runner.failures import PROGRAM_LIMITS, TRANSIENT
from projections.runner.flood import DEFAULT_POLICY, FloodPolicy
from projections.runner.intake import Intake
from projections.runner.notify import Notifier
from projections.runner.order_desk import OrderDesk
from projections.runner.slot import Slot
from schemas.errors import MustStop

LINGER_S: Final = 0.015
"""How long the first record of a batch waits for others while nothing is being written."""
PAUSED_S: Final = 30.0
"""A transaction in which nothing happens for so long is ended by the server, and its batch is done again."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
_TAKE_TIMEOUT_S: Final = 0.2

_STATES: Final[dict[type[MustStop], State]] = {
    LogMismatch: State.LOG_MISMATCH,
    LogTruncated: State.LOG_TRUNCATED,
    FoldFailed: State.FAILED,
}
_log = structlog.get_logger()


class Runner:
    """Call ``run`` in a thread of its own; it returns after ``stop`` is set, or raises MustStop."""

    def __init__(
        self,
        settings: Settings,
        projection: Projection,
        generation: Generation,
        notifier: Notifier,
        stop: threading.Event,
        linger_s: float = LINGER_S,
        policy: FloodPolicy = DEFAULT_POLICY,
    ) -> None:
        self._settings = settings
        self._projection = projection
        self._generation = generation
        self._notifier = notifier
        self._stop = stop
        self._linger_s = linger_s
        self._policy = policy
        self._log = _log.bind(projection=projection.name, generation=generation.number)
        self._deriver = Deriver(
            projection, generation, self.connect, lambda: notifier.offer(projection.name, ())
        )

    def run(self) -> None:
        """Work until ``stop`` is set. Raises MustStop (log replaced or cut, or a bug in the fold)."""
        self._deriver.start()
        try:
            self._run()
        finally:
            self._deriver.close()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self._work()
            except Fenced as error:
                self._log.warning("fenced", reason=str(error))
            except (*TRANSIENT, KafkaError, OffsetOutOfRange, SlotLost) as error:
                # A log without the next offset was replaced or cut meanwhile: the look at the next assignment says which.
                self._log.warning("retrying", pause_s=pause_s, error=str(error))
            except MustStop as error:
                self._give_up(error)
                raise
            if time.monotonic() - began_s > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            self._stop.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def connect(self) -> Connection:
        """A connection on the generation's schema."""
        connection = connect(
            self._settings, Role.PROJECTOR, autocommit=True, name=f"projector-{self._projection.name}"
        )
        path = sql.SQL("set search_path to {}").format(sql.Identifier(self._generation.schema_name))
        connection.execute(path)
        # Whoever is paused in the middle of a batch holds its checkpoints' rows: not for long, a successor waits for them.
        connection.execute(f"set idle_in_transaction_session_timeout = '{PAUSED_S:g}s'".encode())
        return cast(Connection, connection)

    def _work(self) -> None:
        """One membership of the group."""
        with Slot(self._settings, self._generation.group) as slot, self._joined(slot) as intake:
            connection = self.connect()
            desk = OrderDesk(self._projection)
            try:
                while not self._stop.is_set():
                    slot.check()
                    batch = intake.take(0 if desk.busy else _TAKE_TIMEOUT_S)
                    if batch is not None:
                        if desk.is_new(batch.held):  # what was dropped ahead of it has to be known
                            self._carry_out(connection, intake, desk, first=True)
                        connection = self._write_until_done(connection, batch)
                        self._passed(intake, batch)
                    self._carry_out(connection, intake, desk)
            finally:
                connection.close()

    @contextmanager
    def _joined(self, slot: Slot) -> Iterator[Intake]:
        intake = Intake(
            self._settings,
            self._projection,
            self._generation,
            slot.instance_id,
            self.connect,
            self._linger_s,
            policy=self._policy,
        )
        intake.start()
        try:
            yield intake
        finally:
            intake.close()

    def _write_until_done(self, connection: Connection, batch: Batch) -> Connection:
        """Commit ``batch``, whatever it takes; the connection that works now. Raises Fenced, FoldFailed."""
        began_s = time.monotonic()
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                rows = apply(connection, self._projection.name, batch)
                break
            except PROGRAM_LIMITS as error:
                raise self._unwritable(batch, error) from error
            except TRANSIENT as error:
                self._log.warning("write_retried", pause_s=pause_s, error=str(error))
                connection.close()
                if self._stop.wait(pause_s):
                    raise
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                connection = self._reconnect(connection)
            except (psycopg.Error, TypeError, ValueError, ArithmeticError, LookupError) as error:
                raise self._unwritable(batch, error) from error
        name = self._projection.name
        metrics.PROJECTION_BATCH_SECONDS.labels(name).observe(time.monotonic() - began_s)
        metrics.PROJECTION_ROWS.labels(name).inc(rows)
        return connection

    def _carry_out(
        self, connection: Connection, intake: Intake, desk: OrderDesk, *, first: bool = False
    ) -> None:
        """Do a step of what operators ordered, if something is due. Raises Fenced, FoldFailed; what is TRANSIENT.

        After the latter nobody knows whether the step was committed, so what is in memory may be wrong: this membership
        is over, and at the next assignment everything is read from the tables.

        Before an assignment's ``first`` batch: see that nothing is read that was ordered to be dropped.
        """
        try:
            epochs = intake.epochs
            if first:
                desk.begin(connection, epochs, intake.held, intake.orders_end)
            else:
                desk.work(connection, epochs, intake.held)
        except TRANSIENT:
            raise
        except (psycopg.Error, FoldRaised, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise FoldFailed(
                f"an operator's order could not be carried out for {self._projection.name}: {error!r}",
                remedy="The generation's tables are not what this build expects: see the reason.",
            ) from error

    def _unwritable(self, batch: Batch, error: Exception) -> FoldFailed:
        places = ", ".join(f"{step.topic}/{step.partition}@{step.fetched_from}" for step in batch.moves)
        return FoldFailed(
            f"the rows of {self._projection.name} could not be written (batch from {places}): {error!r}",
            remedy="Correct the fold or its writer (nothing was written or skipped), then start the projector again.",
        )

    def _reconnect(self, connection: Connection) -> Connection:
        try:
            return self.connect()
        except TRANSIENT:
            return connection  # closed: the next attempt fails at once and waits longer

    def _passed(self, intake: Intake, batch: Batch) -> None:
        name = self._projection.name
        self._notifier.offer(name, batch.moves)
        self._deriver.wake()
        intake.written(batch)
        metrics.PROJECTION_EVENTS.labels(name).inc(batch.records)
        if batch.dead_letters:
            metrics.DEAD_LETTERS.labels(name).inc(len(batch.dead_letters))
            first = batch.dead_letters[0]
            self._log.warning(
                "dead_letters",
                records=len(batch.dead_letters),
                first_position=str(first.record.position),
                first_reason=first.reason,
                first_path=first.path,
                remedy="They are kept byte for byte in the table dead_letters of this generation.",
            )
        for unknown, number in batch.skipped.items():
            metrics.UNKNOWN_TYPES.labels(name).inc(number)
            self._log.warning("unknown_type_skipped", type=unknown, records=number)

    def _give_up(self, error: MustStop) -> None:
        """Leave word for ``projection list``; the projection stops, whether that succeeds or not."""
        state = _STATES.get(type(error), State.FAILED)
        self._log.error("projection_stopped", state=state.value, reason=str(error), remedy=error.remedy)
        try:
            with self.connect() as connection:
                connection.execute(
                    "update checkpoints set state = %s, state_reason = %s where state = 'RUNNING'",
                    (state.value, f"{error} {error.remedy}"),
                )
        except (*TRANSIENT, psycopg.Error) as failure:  # the tables may be what it stops for: gone, or others
            self._log.warning("state_not_written", error=str(failure))
