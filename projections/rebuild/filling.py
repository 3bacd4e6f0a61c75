"""Folding the log into a generation beside the live one: by explicit assignment, in no group, up to a bound that may move.

The transaction is the live runner's: rows and checkpoints together, the checkpoints by compare-and-set under an epoch of
one's own. So whoever was killed is gone on from, no event is folded twice, and two that fill the same one fence each other.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import structlog
from psycopg import sql

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import Generation
from projections.projection import Projection
from projections.runner.applying import apply
from projections.runner.bound import Bound
from projections.runner.checkpoint import Connection, Partition
from projections.runner.deriver import Deriver
from projections.runner.errors import Fenced
from projections.runner.failures import PROGRAM_LIMITS, TRANSIENT
from projections.runner.intake import Intake
from projections.runner.order_desk import OrderDesk
from projections.runner.runner import PAUSED_S
from schemas.errors import MillstreamError, MustStop

BULK_LINGER_S: Final = 0.05
TAIL_LINGER_S: Final = 0.005
"""Near the end: how long a record waits for others while nothing is being written."""
_TAKE_TIMEOUT_S: Final = 0.02
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_log = structlog.get_logger()


class Filler:
    """One thread that reads some partitions up to ``bound``. ``at`` says how far they are written; ``check`` raises.

    What time mends is tried again for ever. ``deriver`` keeps the derived rows current meanwhile (None: nobody does).
    """

    def __init__(
        self,
        settings: Settings,
        projection: Projection,
        generation: Generation,
        bound: Bound,
        linger_s: float = TAIL_LINGER_S,
        deriver: Deriver | None = None,
    ) -> None:
        self._settings = settings
        self._projection = projection
        self._generation = generation
        self._bound = bound
        self._linger_s = linger_s
        self._deriver = deriver
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._at: dict[Partition, int] = {}
        self._epochs: dict[Partition, int] = {}
        self.fenced = threading.Event()
        """Somebody else has the partitions now."""
        self._thread = threading.Thread(target=self._run, name=f"filler-{projection.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if self._deriver is not None:
            self._deriver.start()

    def close(self) -> None:
        """Stop behind the batch in hand."""
        self._stop.set()
        self._thread.join()
        if self._deriver is not None:
            self._deriver.close()

    @property
    def at(self) -> dict[Partition, int]:
        """Next offset of every partition, as written; empty until the partitions are taken."""
        return dict(self._at)

    @property
    def epochs(self) -> dict[Partition, int]:
        """Under which the partitions were taken last; empty until they are."""
        return dict(self._epochs)

    def reached(self, ends: Mapping[Partition, int]) -> bool:
        """Whether everything before ``ends`` is written. Raises what ended the thread."""
        self.check()
        at = self._at
        return bool(at or not ends) and all(at.get(place, -1) >= end for place, end in ends.items())

    def check(self) -> None:
        """Raises what ended the thread: MustStop, a bug of the fold or its writer."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self._fill()
            except Fenced:
                self.fenced.set()
                return
            except (*PROGRAM_LIMITS, MustStop) as error:
                self._failure = error
                return
            except (*TRANSIENT, MillstreamError) as error:
                _log.warning(
                    "fill_retried", projection=self._projection.name, pause_s=pause_s, error=str(error)
                )
            except BaseException as error:  # noqa: BLE001 - raised again by check()
                self._failure = error
                return
            if time.monotonic() - began_s > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            self._stop.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _fill(self) -> None:
        """One taking of the partitions."""
        intake = Intake(
            self._settings,
            self._projection,
            self._generation,
            "",
            lambda: on_schema(self._settings, self._generation.schema_name),
            self._linger_s,
            self._bound,
        )
        known = False
        desk = OrderDesk(self._projection)
        with on_schema(self._settings, self._generation.schema_name) as connection, _started(intake):
            while not self._stop.is_set():
                batch = intake.take(_TAKE_TIMEOUT_S)
                if not known and intake.epochs:
                    self._at, self._epochs, known = _at(connection), intake.epochs, True
                if batch is not None:
                    if desk.is_new(
                        batch.held
                    ):  # what operators ordered to be dropped is left out from the start
                        desk.begin(connection, intake.epochs, intake.held, intake.orders_end)
                    apply(connection, self._projection.name, batch)
                    self._at = self._at | {(one.topic, one.partition): one.next_offset for one in batch.moves}
                    if self._deriver is not None:
                        self._deriver.wake()
                desk.work(connection, intake.epochs, intake.held)


def on_schema(settings: Settings, schema: str) -> Connection:
    """A connection for folding into ``schema``.

    Its commits are not waited for on disk: what a crash of the server takes away are the last batches whole, rows and
    checkpoints together, and they are read again. The swap is waited for, and with it all that was written before.
    """
    connection = connect(settings, Role.PROJECTOR, autocommit=True, name="rebuild")
    connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
    connection.execute("set synchronous_commit to off")
    connection.execute(f"set idle_in_transaction_session_timeout = '{PAUSED_S:g}s'".encode())
    return cast(Connection, connection)


def _at(connection: Connection) -> dict[Partition, int]:
    rows = connection.execute("select topic, partition, next_offset from checkpoints").fetchall()
    return {(str(topic), cast(int, number)): cast(int, at) for topic, number, at in rows}


@contextmanager
def _started(intake: Intake) -> Iterator[None]:
    intake.start()
    try:
        yield
    finally:
        intake.close()
