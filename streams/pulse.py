"""A worker's sign of life in ``runtime.heartbeats``: who it is, and which partitions are its own."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from infra.postgres.runtime import heartbeats
from streams.agent import Timer
from streams.slots import Slot

INTERVAL_S: Final = 5.0


class Pulse:
    """Written every five seconds. Losing it does no harm: nothing decides by it."""

    def __init__(self, engine: Engine, slot: Slot) -> None:
        self._engine = engine
        self._slot = slot
        self._started_at = datetime.now(UTC)

    def timer(self, assigned: Callable[[], Mapping[str, Sequence[int]]]) -> Timer:
        """The timer that beats in every process."""

        async def beat() -> None:
            await asyncio.to_thread(self.beat, assigned())

        return Timer(name="pulse", interval_s=INTERVAL_S, tick=beat, on_leader=False)

    def beat(self, assigned: Mapping[str, Sequence[int]]) -> None:
        """Write the row of this slot."""
        row = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self._started_at,
            "seen_at": datetime.now(UTC),
            "details": {"assigned": {topic: list(numbers) for topic, numbers in assigned.items()}},
        }
        statement = insert(heartbeats).values(process=self._slot.instance_id, **row)
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["process"], set_=row))
