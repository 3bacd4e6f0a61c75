"""Holding a generation's checkpoints for a moment, and leading readers to another generation while they are held.

Whoever folds the held generation waits at its next commit. The server ends a hold that this process forgets: a pause in
the middle costs the same second at most.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from infra.postgres.connect import lock_key
from projections.generations import LiveGeneration
from projections.projection import Derive
from projections.rebuild.derived import older_keys, stop_deriving
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.vectors import Partition, Vector
from projections.runner import faults
from projections.runner.checkpoint import Checkpoint
from projections.runner.notify import CHANNEL

LONGEST_HOLD_S: Final = 1.0
WAIT_IN_HOLD_S: Final = 0.7
"""For the other generation to come up, of the longest hold."""
_LOCK_TIMEOUT_MS: Final = 1_000
_POLL_S: Final = 0.003

_HELD: Final = """
select topic, partition, next_offset from "{schema}".checkpoints order by topic collate "C", partition for update
"""
_PASSED: Final = 'select topic, partition, next_offset from "{schema}".checkpoints'
_FOLDED: Final = """
select topic, partition, cluster_id, topic_id, epoch, next_offset, last_offset, last_crc32 from "{schema}".checkpoints
"""
_SWAP: Final = """
update runtime.generations
set live_generation = :number, schema_name = :schema, version = :version, fingerprint = :fingerprint,
    state = 'live', swapped_at = clock_timestamp()
where projection = :projection and live_generation = :from_number
"""
_KEEP: Final = """
insert into runtime.kept_generations (projection, generation, schema_name, version, fingerprint)
values (:projection, :number, :schema, :version, :fingerprint)
"""
_FORGET: Final = "delete from runtime.kept_generations where projection = :projection"


class HoldLost(Exception):
    """The hold came to its end, or was not had, before the work was done; nothing was changed."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The generation that readers are to use."""

    number: int
    schema_name: str
    version: int
    fingerprint: str


class Swapped(msgspec.Struct, frozen=True, kw_only=True):
    """``hold_ms``: from the first row held to the commit's end; ``swap_ms``: from the first write to it."""

    hold_ms: float
    swap_ms: float


class Hold:
    """Checkpoint rows that nobody else can move. ``vector`` is where the generation stands."""

    def __init__(self, connection: Connection, vector: dict[Partition, int], began_s: float) -> None:
        self.connection = connection
        self.vector = vector
        self._began_s = began_s

    @property
    def held_ms(self) -> float:
        """Since the rows were asked for."""
        return (time.monotonic() - self._began_s) * 1000

    def wait(self, reached: Callable[[Vector], bool]) -> bool:
        """Until ``reached`` says so of the vector; False when the hold's time is over."""
        deadline_s = self._began_s + WAIT_IN_HOLD_S
        while not reached(self.vector):
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_POLL_S)
        return True


@contextmanager
def hold(
    engine: Engine,
    schema: str,
    before: Callable[[Connection], None] | None = None,
    rows: str = _HELD,
) -> Iterator[Hold]:
    """Hold the checkpoints of ``schema`` for as long as the block lasts, at most a second. What is not committed is undone.

    ``before`` runs in the transaction before anything is held. Raises HoldLost.
    """
    with engine.connect() as connection:
        try:
            connection.execute(text(f"set local lock_timeout = {_LOCK_TIMEOUT_MS}"))
            if before is not None:
                before(connection)
            connection.execute(text(f"set local statement_timeout = {_LOCK_TIMEOUT_MS}"))
            limit_ms = int(LONGEST_HOLD_S * 1000)
            connection.execute(text(f"set local idle_in_transaction_session_timeout = {limit_ms}"))
            began_s = time.monotonic()
            yield Hold(connection, _vector(connection, rows.format(schema=schema)), began_s)
        except DBAPIError as error:
            raise HoldLost(str(error.orig)) from error
        finally:
            with suppress(DBAPIError):
                connection.rollback()


def lead(
    engine: Engine,
    live: LiveGeneration,
    to: Target,
    reached: Callable[[Vector], bool],
    record: Callable[[Connection], None],
    derive: Derive | None,
) -> Swapped | None:
    """Make ``to`` the generation that readers use, once it is nowhere behind ``live``; None when it did not come up in time.

    ``reached`` is asked about the vector of the held live generation; what ``derive`` says of both is asked behind it, with nobody
    deriving any more in ``live``. ``record`` writes what else belongs to the transaction.
    The other one is marked to be kept current. Raises HoldLost; RebuildRefused when ``live`` is not live any more.
    """

    def lock(connection: Connection) -> None:
        connection.execute(
            text(f"select pg_advisory_xact_lock({lock_key('generations:' + live.projection)})")
        )

    careless = faults.has(faults.Bug.NO_HOLD)
    with hold(engine, live.schema_name, lock, _PASSED if careless else _HELD) as held:
        if not careless and not held.wait(reached):
            return None
        if derive is not None and not careless:
            stop_deriving(held.connection, derive, live.schema_name)
            if older_keys(held.connection, derive, live, to):
                return None
        began_s = time.monotonic()
        values = {
            "projection": live.projection,
            "number": to.number,
            "schema": to.schema_name,
            "version": to.version,
            "fingerprint": to.fingerprint,
            "from_number": live.number,
        }
        # Whoever reads the new generation from now on may rely on the disk having it.
        held.connection.execute(text("set local synchronous_commit to on"))
        if held.connection.execute(text(_SWAP), values).rowcount != 1:
            raise RebuildRefused(
                f"generation {live.number} of {live.projection} is not the live one any more",
                remedy="See which one is, and order again: millstream projection generations "
                + live.projection,
            )
        held.connection.execute(text(_FORGET), {"projection": live.projection})
        kept = {"number": live.number, "schema": live.schema_name}
        kept |= {"version": live.version, "fingerprint": live.fingerprint}
        held.connection.execute(text(_KEEP), {"projection": live.projection, **kept})
        record(held.connection)
        held.connection.execute(
            text("select pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": live.projection}
        )
        held.connection.commit()
        return Swapped(hold_ms=held.held_ms, swap_ms=(time.monotonic() - began_s) * 1000)


def vector_of(connection: Connection, schema: str) -> dict[Partition, int]:
    """Where a generation stands."""
    return _vector(connection, _PASSED.format(schema=schema))


def folded_by(connection: Connection, schema: str) -> list[Checkpoint]:
    """How far a generation has folded, and which log."""
    rows = connection.execute(text(_FOLDED.format(schema=schema))).mappings()
    return [msgspec.convert({**row, "topic_id": bytes(row["topic_id"])}, Checkpoint) for row in rows]


def epochs_of(connection: Connection, schema: str) -> dict[Partition, int]:
    """Under which epoch each partition of a generation was taken last."""
    rows = connection.execute(text(f'select topic, partition, epoch from "{schema}".checkpoints'))
    return {(topic, number): epoch for topic, number, epoch in rows}


def _vector(connection: Connection, query: str) -> dict[Partition, int]:
    return {(topic, number): at for topic, number, at in connection.execute(text(query))}
