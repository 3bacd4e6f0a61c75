"""A repository in which a monitor's runs fail rests for it, longer each time: over real projections, without a broker."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import projection
from projections.folding import Folding
from projections.generations import ensure_generation
from projections.reading import Reader
from schemas.events import (
    ActionKind,
    FiredRun,
    FiringCause,
    MonitorAction,
    MonitorCreated,
    MonitorUpdated,
    RepositoryPushed,
    RepositoryRegistered,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    TriggerFired,
)
from schemas.registry import Payload
from streams.agent import Received
from streams.monitors.firer import Firer
from streams.monitors.ticking import MonitorClock
from tests.stack import StackUnderTest, fresh_database
from tests.support.office import Free
from tests.support.projecting import T0, event, fold_into, folding, settings_for
from tests.unit.streams.events import RecordingContext

MONITOR, FAILING, OTHER = 7, 1, 2
BEGUN, PUSHED = 4, 5
OLD, NEW, NEWER = "a" * 40, "b" * 40, "c" * 40
ACTIONS = [MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=["ann"])]


class World(RecordingContext):
    """The projections, the agents that begin runs, and their clock."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        super().__init__()
        self._settings = settings
        self._at = T0
        nobody = Free()
        self._firer = Firer(reader, nobody, 1)
        self._clock = MonitorClock(reader, nobody, Groups(), self._firer, self)

    def now(self) -> datetime:
        return self._at

    def fold(self, name: str, *said: Folding) -> None:
        engine = make_engine(self._settings, Role.PROJECTOR, pool_size=1)
        schema = ensure_generation(engine, projection(name)).schema_name
        engine.dispose()
        with connect(self._settings, Role.PROJECTOR, autocommit=True) as connection:
            connection.execute(f'set search_path to "{schema}"'.encode())
            fold_into(connection, projection(name), [said])

    def ran(self, at_s: int, moment: str, cause: FiringCause, status: RunStatus) -> None:
        """A run in the failing repository ended then."""
        said: Sequence[Payload] = (
            TriggerFired(
                repository_id=FAILING, moment=moment, cause=cause, pushed_offset=PUSHED,
                runs=[FiredRun(monitor_id=MONITOR, begun=BEGUN, base=[OLD])],
            ),
            TriggerEvaluated(
                repository_id=FAILING, moment=moment, pushed_offset=PUSHED,
                outcomes=[
                    RunOutcome(
                        monitor_id=MONITOR, begun=BEGUN, status=status, reason="timeout",
                        tips=[NEW] if status is RunStatus.COMPLETED else None,
                    )
                ],
            ),
        )  # fmt: skip
        self.fold("monitors", *(folding(event(one, at=at_s), at_s * 10 + n) for n, one in enumerate(said)))

    def ticked(self, at_s: int) -> set[int]:
        """Where the clock begins runs at this time."""
        self._at = T0 + timedelta(seconds=at_s)
        self.published.clear()
        asyncio.run(self._clock.find_moved())
        return self._begun()

    def pushed(self, at_s: int) -> set[int]:
        """Where a push to both repositories begins runs at this time."""
        self._at = T0 + timedelta(seconds=at_s)
        self.published.clear()
        batch = [
            Received(event(one, at=at_s), folding(event(one), PUSHED + 2).position, self._at)
            for one in (push(FAILING, NEWER, NEW), push(OTHER, NEWER, NEW))
        ]
        asyncio.run(self._firer.pushed(batch, self))
        return self._begun()

    def _begun(self) -> set[int]:
        return {one.data.repository_id for one in self.events if isinstance(one.data, TriggerFired)}


class Groups:
    """Nobody has read anything."""

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        return {}


def push(number: int, tip: str, previous: str | None) -> RepositoryPushed:
    return RepositoryPushed(
        repository_id=number, default_branch="main", tip=tip, previous_tip=previous, refs_fingerprint=tip
    )


@pytest.fixture
def settings(stack: StackUnderTest, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(stack.database_url, "resting") as url:
        yield settings_for(url, tmp_path)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A monitor, and two repositories that were pushed to since it began."""
    engine = make_engine(settings, Role.WORKER, pool_size=2)
    reader = Reader(engine)
    found = World(settings, reader)
    known: list[Payload] = [
        *(RepositoryRegistered(repository_id=one, name=f"r{one}", path="/p") for one in (FAILING, OTHER)),
        *(push(one, OLD, None) for one in (FAILING, OTHER)),
    ]
    made = MonitorCreated(
        monitor_id=MONITOR,
        description="d",
        owner="ann",
        created_at=T0,
        query="type:diff TODO",
        actions=ACTIONS,
    )
    said = [*known, made, push(FAILING, NEW, OLD), push(OTHER, NEW, OLD)]
    # A repository's registration is the phase in which it matches: both begin at offset 0.
    offsets = [0, 0, 2, 3, BEGUN, PUSHED, PUSHED]
    folded = [
        folding(event(one, at=10 * n), offset)
        for n, (one, offset) in enumerate(zip(said, offsets, strict=True))
    ]
    found.fold("monitors", *folded)
    found.fold("repositories", *(one for one in folded if not isinstance(one.event.data, MonitorCreated)))
    found.fold("settings")
    yield found
    reader.close()
    engine.dispose()


def test_each_failure_doubles_the_rest_and_pushes_and_ticks_keep_it(world: World) -> None:
    assert world.ticked(200) == world.pushed(200) == {FAILING, OTHER}
    world.ran(1_000, "push:5", FiringCause.PUSH, RunStatus.FAILED)
    assert world.ticked(1_299) == world.pushed(1_299) == {OTHER}
    assert world.ticked(1_300) == world.pushed(1_300) == {FAILING, OTHER}, "it was not taken for settled"
    world.ran(2_000, "tick:5:1", FiringCause.TICK, RunStatus.FAILED)
    assert world.ticked(2_599) == world.pushed(2_599) == {OTHER}
    assert world.ticked(2_600) == world.pushed(2_600) == {FAILING, OTHER}
    world.ran(3_000, "asked:9", FiringCause.ASKED, RunStatus.FAILED)
    assert world.pushed(3_299) == {OTHER}
    assert world.pushed(3_300) == {FAILING, OTHER}, "who asks begins anew"
    world.ran(4_000, "tick:5:2", FiringCause.TICK, RunStatus.COMPLETED)
    assert world.pushed(4_001) == {FAILING, OTHER}, "it succeeded"


def test_another_query_begins_anew(world: World) -> None:
    world.ran(1_000, "push:5", FiringCause.PUSH, RunStatus.FAILED)
    assert world.pushed(1_010) == {OTHER}
    edited = MonitorUpdated(monitor_id=MONITOR, description="d", actions=ACTIONS, query="type:diff FIXME")
    world.fold("monitors", folding(event(edited, at=1_011), 20_000))
    assert world.pushed(1_012) == {FAILING, OTHER}
