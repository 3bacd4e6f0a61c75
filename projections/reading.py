"""Reading projections: one snapshot over all that is needed, and waiting until something is applied (DESIGN 7, 9)."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, text

from projections.access.queries import PROJECTION as ACCESS
from projections.access.queries import denied_to
from projections.catalogue import PROJECTIONS, projection
from projections.chosen import Chosen, ChosenGeneration, chosen_generations
from projections.freshness import Freshness, freshness, log_ends
from projections.generations import DENIED_SETTING, LiveGeneration, NotProjected, live_generations
from projections.waiting import AppliedSignal, wait_while
from schemas.envelope import Position

Partition = tuple[str, int]
"""(topic, partition)."""
ALL: Final = tuple(one.name for one in PROJECTIONS)
_PUT_ASIDE: Final = """
select exists(select from "{schema}".dead_letters where topic = :topic)
    or exists(select from "{schema}".quarantine where topic = :topic)
"""


class AppliedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far one partition is folded. ``append_time`` is the newest one applied (None: none yet).

    Equal ones have equal rows behind them: ``applied_at`` moves with every change, a redrive's too, which moves no offset.
    """

    topic: str
    partition: int
    next_offset: int
    applied_at: datetime | None
    append_time: datetime | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent state of several projections; ``connection`` is inside its transaction."""

    connection: Connection
    generations: Mapping[str, LiveGeneration]
    applied: Mapping[str, tuple[AppliedPosition, ...]]

    def freshness(self) -> dict[str, Freshness]:
        """How fresh each of the snapshot's projections is, against the ends that the projectors have seen."""
        ends = log_ends(self.connection)
        found = {name: freshness(positions, ends) for name, positions in self.applied.items()}
        for name, generation in self.generations.items():
            # What was replayed until a time holds everything until then, whenever its newest record came.
            if isinstance(generation, ChosenGeneration) and generation.until is not None:
                found[name] = msgspec.structs.replace(found[name], applied_up_to=generation.until)
        return found

    def has_put_aside(self, name: str, topic: str) -> bool:
        """Whether something of ``topic`` is not in the rows: a dead letter, or an event in quarantine. For the role WORKER.

        An operator may bring it back later: who takes away what no row names waits until then.
        """
        schema = self.generations[name].schema_name
        return bool(self.connection.scalar(text(_PUT_ASIDE.format(schema=schema)), {"topic": topic}))


class Reader:
    """Reads with the rights of ``engine``'s role. Threads may share it; async callers use ``asyncio.to_thread``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._signal = AppliedSignal(engine)

    @property
    def moves(self) -> int:
        """A number that changes when a projection of this database has moved: a hint for those who poll."""
        return self._signal.moves

    def wait_moved(self, seen: int, timeout_s: float) -> None:
        """Return when ``moves`` is not ``seen`` any more, or when the time is over."""
        self._signal.wait(seen, timeout_s)

    def close(self) -> None:
        """Stop listening. The engine stays its owner's."""
        self._signal.close()

    @contextmanager
    def snapshot(
        self,
        names: Collection[str] = ALL,
        denied_repositories: Collection[int] = (),
        at: Chosen | None = None,
        viewer: int | None = None,
    ) -> Iterator[Snapshot]:
        """One REPEATABLE READ READ ONLY transaction over the live generations of ``names``, or those that ``at`` numbers.

        From the role ``app`` row security hides ``denied_repositories`` and whatever the user ``viewer`` may not see: by the
        permissions as they are in this very snapshot, also where it shows the past. Raises NotProjected, GenerationRefused.
        """
        with self._engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                _hide(connection, {*denied_repositories, *_denied(connection, viewer)})
                chosen = chosen_generations(
                    connection, {name: at[name] for name in names if name in at} if at else {}
                )
                live = {**_resolve(connection, [name for name in names if name not in chosen]), **chosen}
                yield Snapshot(
                    connection=connection.execution_options(
                        schema_translate_map={
                            projection(name).metadata.schema: found.schema_name
                            for name, found in live.items()
                        }
                    ),
                    generations=live,
                    applied={name: _applied(connection, found) for name, found in live.items()},
                )

    def applied(self, name: str) -> tuple[AppliedPosition, ...]:
        """How far a projection is, now. Raises NotProjected."""
        with self._engine.connect() as connection:
            return _applied(connection, _resolve(connection, (name,))[name])

    def wait_for(self, name: str, positions: Iterable[Position], timeout_s: float) -> bool:
        """Wait until the records at ``positions`` are applied; False when the time is over.

        Positions of topics that the projection does not read are not waited for. Raises UnknownProjection.
        """
        ends: dict[Partition, int] = {}
        for position in positions:
            place = (position.topic, position.partition)
            ends[place] = max(ends.get(place, 0), position.offset + 1)
        return self.wait_until(name, ends, timeout_s)

    def wait_until(self, name: str, ends: Mapping[Partition, int], timeout_s: float) -> bool:
        """Wait until every partition's next offset is at least that of ``ends``; False when the time is over.

        Partitions of topics that the projection does not read are not waited for. Raises UnknownProjection.
        """
        topics = {topic.value for topic in projection(name).topics}
        wanted = {place: end for place, end in ends.items() if place[0] in topics}
        return wait_while(lambda: not self._passed(name, wanted), self._signal, timeout_s)

    def _passed(self, name: str, ends: Mapping[Partition, int]) -> bool:
        if not ends:
            return True
        try:
            passed = {(at.topic, at.partition): at.next_offset for at in self.applied(name)}
        except NotProjected:
            return False
        return all(passed.get(place, 0) >= end for place, end in ends.items())


def _denied(connection: Connection, viewer: int | None) -> frozenset[int]:
    if viewer is None:
        return frozenset()
    live = _resolve(connection, (ACCESS,))[ACCESS]
    placed = connection.execution_options(
        schema_translate_map={projection(ACCESS).metadata.schema: live.schema_name}
    )
    return denied_to(placed, viewer)


def _hide(connection: Connection, repositories: Collection[int]) -> None:
    denied = "{" + ",".join(str(int(number)) for number in sorted(repositories)) + "}"
    connection.execute(
        text("select set_config(:name, :denied, true)"), {"name": DENIED_SETTING, "denied": denied}
    )


def _resolve(connection: Connection, names: Collection[str]) -> dict[str, LiveGeneration]:
    live = live_generations(connection)
    for name in names:
        if name not in live:
            projection(name)
            raise NotProjected(
                f"the projection {name} does not exist yet",
                remedy="Start the projector: millstream projector",
            )
    return {name: live[name] for name in names}


def _applied(connection: Connection, live: LiveGeneration) -> tuple[AppliedPosition, ...]:
    rows = connection.execute(
        text(
            "select topic, partition, next_offset, applied_at, last_append_time as append_time "
            f'from "{live.schema_name}".checkpoints order by topic collate "C", partition'
        )
    )
    return tuple(AppliedPosition(**row) for row in rows.mappings())
