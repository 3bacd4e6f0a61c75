"""A monitor over two repositories: real projections, the agents that begin runs and their clock, and no broker."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg

from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HEADS_APP
from projections.catalogue import projection
from projections.folding import Folding
from projections.generations import ensure_generation
from projections.monitors.queries import positions
from projections.reading import Reader
from schemas.events import (
    ActionKind,
    FiredRun,
    FiringCause,
    MonitorAction,
    MonitorCreated,
    MonitorRunRequested,
    RepositoryPushed,
    RepositoryRegistered,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    TriggerFired,
)
from schemas.registry import Payload
from schemas.topics import Topic
from streams.agent import Received
from streams.monitors.firer import Firer
from streams.monitors.ticking import MonitorClock
from tests.support.office import Free
from tests.support.projecting import T0, event, fold_into, folding
from tests.unit.streams.events import RecordingContext

MONITOR, FAILING, OTHER = 7, 1, 2
BEGUN, PUSHED = 4, 5
OLD, NEW, NEWER = "a" * 40, "b" * 40, "c" * 40
ACTIONS = [MonitorAction(action_id=1, kind=ActionKind.EMAIL, recipients=["ann"])]


class World(RecordingContext):
    """The projections, the agents that begin runs, and their clock."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        super().__init__()
        self.settings = settings
        self._at = T0
        self._next = 100_000
        self.reader = reader
        self.groups = Groups()
        nobody = Free()
        self._firer = Firer(reader, nobody, self.groups, 1)
        self._clock = MonitorClock(reader, nobody, self.groups, self._firer, self)

    def now(self) -> datetime:
        return self._at

    def fold(self, name: str, *said: Folding) -> None:
        with self._generation(name) as connection:
            fold_into(connection, projection(name), [said])

    @contextmanager
    def _generation(self, name: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        engine = make_engine(self.settings, Role.PROJECTOR, pool_size=1)
        schema = ensure_generation(engine, projection(name)).schema_name
        engine.dispose()
        with connect(self.settings, Role.PROJECTOR, autocommit=True) as connection:
            connection.execute(f'set search_path to "{schema}"'.encode())
            yield connection

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
        return self.fires(at_s, *((PUSHED + 2, push(one, NEWER, NEW)) for one in (FAILING, OTHER)))

    def found_lost(self, at_s: int) -> int:
        """How many runs the clock gives to the hands again at this time."""
        self._at = T0 + timedelta(seconds=at_s)
        self.published.clear()
        return asyncio.run(self._clock.find_lost())

    def fires(self, at_s: int, *said: tuple[int, RepositoryPushed]) -> set[int]:
        """Where the firer begins runs at this time, for pushes at these offsets."""
        self._at = T0 + timedelta(seconds=at_s)
        self.published.clear()
        batch = [
            Received(event(one, at=at_s), folding(event(one), offset).position, self._at)
            for offset, one in said
        ]
        asyncio.run(self._firer.pushed(batch, self))
        return self._begun()

    def asked(self, at_s: int, offset: int) -> set[int]:
        """Where runs begin for who asks at this time; every event on the topic of monitors counts as accepted."""
        self._at = T0 + timedelta(seconds=at_s)
        self.published.clear()
        said = folding(event(MonitorRunRequested(monitor_id=MONITOR), at=at_s), offset)
        self._has_judged(offset)
        asyncio.run(self._firer.asked([Received(said.event, said.position, self._at)], self))
        return self._begun()

    def _has_judged(self, offset: int) -> None:
        with self._generation("monitors") as connection:
            connection.execute(
                """insert into checkpoints (topic, partition, cluster_id, topic_id, next_offset)
                values (%s, 0, 'c', 't', %s)
                on conflict (topic, partition) do update set next_offset = excluded.next_offset""",
                (Topic.MONITORS, offset + 1),
            )

    def keep(self) -> None:
        """Project the runs that were begun last."""
        begun = [one for one in self.events if isinstance(one.data, TriggerFired)]
        self.fold("monitors", *(folding(one, self._next + n) for n, one in enumerate(begun)))
        self._next += len(begun)

    def searched(self, repository_id: int, since: int = 0) -> tuple[str, ...]:
        """The tips that count as searched there."""
        return self.position(repository_id, since)[0]

    def position(self, repository_id: int, since: int = 0) -> tuple[tuple[str, ...], int | None]:
        """The tips that count as searched there, and the newest push that is covered."""
        with self.reader.snapshot(("monitors",)) as snapshot:
            found = positions.searched(snapshot.connection, [(MONITOR, BEGUN)], [repository_id])
        one = found[MONITOR, repository_id]
        assert one.since == since
        return one.oids, one.offset

    def _begun(self) -> set[int]:
        return {one.data.repository_id for one in self.events if isinstance(one.data, TriggerFired)}


class Groups:
    """The firer has passed everything, unless ``passed`` says until where."""

    passed: int | None = None

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        return (
            {(Topic.REPOSITORIES, 0): 10**9 if self.passed is None else self.passed}
            if group == HEADS_APP
            else {}
        )


def push(number: int, tip: str, previous: str | None) -> RepositoryPushed:
    return RepositoryPushed(
        repository_id=number, default_branch="main", tip=tip, previous_tip=previous, refs_fingerprint=tip
    )


def open_world(settings: Settings) -> Iterator[World]:
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
