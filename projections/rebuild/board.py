"""What every keeper of a process decides by: one look at the database for all of them."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, select

from infra.postgres.runtime import kept_generations
from projections.generations import LiveGeneration, live_generations
from projections.rebuild import store
from projections.rebuild.store import Rebuild

AGE_S: Final = 0.5
"""Less than a keeper rests between two looks: none sees a state from before its own last step."""


class Kept(msgspec.Struct, frozen=True):
    """A generation that readers used before and that is kept current by who carries its fold."""

    projection: str
    number: int
    schema_name: str
    version: int
    fingerprint: str


class Seen(msgspec.Struct, frozen=True):
    """One state of the database: live generations by projection, kept ones, and rebuilds, the newest first."""

    live: Mapping[str, LiveGeneration]
    kept: Sequence[Kept]
    rebuilds: Sequence[Rebuild]

    def rebuilds_of(self, name: str) -> list[Rebuild]:
        return [one for one in self.rebuilds if one.projection == name]


class Board:
    """Threads share it: whoever asks first looks, the others are told the same for ``AGE_S``."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._seen_s = 0.0

    def look(self, *, afresh: bool = False) -> Seen:
        """The state of at most ``AGE_S`` ago, or of now. Raises SQLAlchemyError; then the next one looks again."""
        with self._lock:
            began_s = self._clock()
            if afresh or self._seen is None or began_s - self._seen_s >= AGE_S:
                self._seen = None
                with self._engine.connect() as connection:
                    self._seen = _seen(connection)
                self._seen_s = began_s
            return self._seen


def _seen(connection: Connection) -> Seen:
    columns = kept_generations.c
    rows = connection.execute(
        select(
            columns.projection,
            columns.generation,
            columns.schema_name,
            columns.version,
            columns.fingerprint,
        )
    )
    kept = [
        Kept(row.projection, row.generation, row.schema_name, row.version, row.fingerprint) for row in rows
    ]
    return Seen(live_generations(connection), kept, store.every(connection))
