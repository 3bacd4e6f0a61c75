"""The derive step of one generation: stale keys found, one key brought up to date, or all of them (DESIGN section 7).

A key is worked on under its advisory lock, held by the session that writes: whoever loses the session loses both. The token is
read first, then the base rows, in one snapshot; the rows are written with that token in a transaction of their own. A mark that
came meanwhile leaves the key stale. The statements name no schema: the connection has the generation's as its search path.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from infra.metrics import DERIVE_SECONDS
from infra.postgres.connect import release_advisory_lock, try_advisory_lock
from projections.projection import Compute, Derive, Write
from projections.runner import faults
from projections.runner.checkpoint import Connection
from projections.runner.errors import FoldFailed
from projections.runner.failures import Blame, blame

PAGE: Final = 500
"""Stale keys that are looked up at once."""
_SNAPSHOT: Final = "set transaction isolation level repeatable read, read only"
_BUSY_S: Final = 0.05

_STALE: Final = sql.SQL(
    "select {key} from {dirty} where dirty_token > update_token and {key} <> all(%s::bigint[])"
    " order by set_dirty_at, {key} limit %s"
)
_TOKEN: Final = sql.SQL(
    "select dirty_token, dirtied_at from {dirty} where {key} = %s and dirty_token > update_token"
)
_DONE: Final = sql.SQL(
    "update {dirty} set update_token = greatest(update_token, %s), updated_at = %s,"
    " set_dirty_at = case when dirty_token > %s then set_dirty_at end where {key} = %s"
)


class Outcome(Enum):
    """What became of one key."""

    DERIVED = "derived"
    CLEAN = "clean"
    """Somebody else has done it."""
    HELD = "held"
    """Somebody else works on it."""


class DeriveFailed(FoldFailed):
    """The derive step of a key met a bug: ``__cause__`` is what was raised."""


class Deriving:
    """The step over one connection of a generation's schema. For one thread."""

    def __init__(self, projection: str, schema: str, one: Derive, connection: Connection) -> None:
        self._projection: Final = projection
        self._schema: Final = schema
        self._one: Final = one
        self._connection: Final = connection
        self._names: Final = {"key": sql.Identifier(one.key), "dirty": sql.Identifier(one.dirty)}

    def stale(self, but: Collection[int] = ()) -> list[int]:
        """The keys that have been stale longest, without those of ``but``."""
        rows = self._connection.execute(_STALE.format(**self._names), (list(but), PAGE)).fetchall()
        return [key for (key,) in msgspec.convert(rows, list[tuple[int]])]

    def derive(self, key: int) -> Outcome:
        """Bring one key up to date. Raises DeriveFailed for a bug; psycopg.Error for what is time's fault, or the tables'."""
        with self._locked(key) as is_mine:
            if not is_mine:
                return Outcome.HELD
            began_s = time.monotonic()
            try:
                done = self._derived(key)
            except Exception as error:
                whose = blame(error)
                if whose is Blame.TIME or (whose is Blame.NOBODY and isinstance(error, psycopg.Error)):
                    raise  # in the second case the generation is not what this build expects
                raise DeriveFailed(
                    f"the derive step of {self._projection} failed for {self._one.key} {key}: {error!r}",
                    remedy="Correct it: the key stays stale, with the rows that it had, until the step has passed.",
                ) from error
            DERIVE_SECONDS.labels(self._projection).observe(time.monotonic() - began_s)
            return Outcome.DERIVED if done else Outcome.CLEAN

    def all(self, tick: Callable[[], None] = lambda: None) -> int:
        """Bring every key up to date that is stale; the number of keys. ``tick`` is called between keys. Raises as ``derive``."""
        done = 0
        while stale := self.stale():
            held = 0
            for key in stale:
                tick()
                outcome = self.derive(key)
                held += outcome is Outcome.HELD
                done += outcome is Outcome.DERIVED
            if held == len(stale):
                time.sleep(_BUSY_S)
        return done

    def _derived(self, key: int) -> bool:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT)
            found = cursor.execute(_TOKEN.format(**self._names), (key,)).fetchone()
            if found is None:
                return False
            compute: Compute = self._one.read(cursor, key)
        token, dirtied_at = found
        write: Write = compute()
        with self._connection.transaction(), self._connection.cursor() as cursor:
            write(cursor)
            # Last: the rows of a fold's batch are not kept waiting by those that are derived.
            cursor.execute(_DONE.format(**self._names), (token, dirtied_at, token, key))
            faults.reached(self._projection, faults.Point.DERIVED_BEFORE_COMMIT)
        return True

    @contextmanager
    def _locked(self, key: int) -> Iterator[bool]:
        name = f"derive:{self._schema}:{key}"
        if not try_advisory_lock(self._connection, name):
            yield False
            return
        try:
            yield True
        finally:
            if not self._connection.closed:
                release_advisory_lock(self._connection, name)


def stale_keys(session: psycopg.Connection[tuple[object, ...]], schema: str, one: Derive) -> set[int]:
    """The keys of a generation whose derived rows may be older than its base rows, as ``session`` sees it."""
    query = sql.SQL("select {} from {} where dirty_token > update_token").format(
        sql.Identifier(one.key), sql.Identifier(schema, one.dirty)
    )
    return {key for (key,) in msgspec.convert(session.execute(query).fetchall(), list[tuple[int]])}
