"""The reconciler over readers in memory: which ends judge whom, and what becomes of a request that is lost twice."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from projections.obligations import queries
from projections.obligations.queries import Again
from schemas.envelope import Position
from schemas.events import ObligationRenewed
from schemas.topics import Topic
from streams.agent import Outgoing
from streams.obligations.names import Owing
from streams.obligations.obligation import Owed
from streams.obligations.reconciler import Reconciler
from streams.obligations.registry import OBLIGATIONS

WORK = (Topic.WORK_BACKGROUND.value, 0)
RESULTS = (Topic.RESULTS.value, 0)
A = Owed(aggregate_id=1, subject="a", opened=Position(*WORK, 1))
B = Owed(aggregate_id=2, subject="b", opened=Position(*WORK, 2))


class World:
    """What is owed, what the projections have passed, where the log ends, and what was said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.owed: list[Owed] = []
        self.again: dict[tuple[int, str], Again] = {}
        self.passed: Mapping[tuple[str, int], int] = {}
        self.log_ends: Mapping[tuple[str, int], int] = {}
        self.now_s = 0.0
        self.said: list[tuple[str, int]] = []
        monkeypatch.setattr(queries, "again", lambda connection, name, ids: self.again)
        (counting,) = (one for one in OBLIGATIONS if one.name is Owing.RECORDING_COUNT)
        one = msgspec.structs.replace(counting, owed=lambda connection: list(self.owed), look_s=0.0)
        world: Any = self
        self.reconciler = Reconciler([one], world, world, world, world, clock=lambda: self.now_s)

    @contextmanager
    def snapshot(self, names: object) -> Iterator[object]:
        yield SimpleNamespace(connection=None)

    def wait_until(self, name: str, ends: Mapping[tuple[str, int], int], timeout_s: float) -> bool:
        return all(self.passed.get(place, 0) >= end for place, end in ends.items())

    def ends(self, topics: object) -> Mapping[tuple[str, int], int]:
        return dict(self.log_ends)

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        return {WORK: 1_000}

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        for one in outgoing:
            data = one.event.data
            if isinstance(data, ObligationRenewed):
                self.said.append((data.subject, data.attempt))
        return []

    def look(self, now_s: float) -> list[tuple[str, int]]:
        self.now_s = now_s
        asyncio.run(self.reconciler.tick())
        return self.said


def test_ends_judge_only_those_who_were_late_when_they_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.owed = [A]
    world.look(0.0)
    world.owed = [A, B]
    world.look(20.0)
    world.log_ends, world.passed = {RESULTS: 100}, {RESULTS: 50}
    assert world.look(31.0) == [], "the projection stands still"
    world.log_ends = {RESULTS: 200}
    assert world.look(60.0) == []
    # It goes on: past the outcome of A, not past that of B, which stands at 150.
    world.passed, world.owed = {RESULTS: 120}, [B]
    assert world.look(61.0) == []
    world.passed = {RESULTS: 200}
    assert world.look(62.0) == [("b", 2)], "the ends read after B's own deadline have been passed"


def test_a_request_that_is_lost_again_is_renewed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.again[A.aggregate_id, A.subject] = Again(
        attempt=2, position=Position(Topic.RECORDINGS.value, 0, 7), failed=False
    )
    world.owed = [msgspec.structs.replace(A, attempt=2, opened=Position(*WORK, 9))]
    world.look(0.0)
    assert world.look(1_000.0) == [("a", 3)]
