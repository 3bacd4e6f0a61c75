"""The commit indexer: answers every push with the commits that nobody has told of yet, and where the refs stand (DESIGN 4).

What was told is read from the commit graph without waiting for it, and remembered beside it: an older knowledge makes it tell
of more than it need, never of less. A clone that cannot be read is no outcome: the obligation asks again, and gives up in words.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from projections.commit_graph import queries
from projections.generations import NotProjected
from projections.reading import Reader
from schemas.codec import new_event
from schemas.envelope import Event, Position
from schemas.events import CommitsIndexed, ObligationRenewed, RepositoryPushed
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.commits.looks import Look, Told, base_of, event_id, look_of, parts_of
from streams.leases import Leases
from streams.obligations.names import Owing, renewed
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused
from streams.repositories.places import Place, Places
from streams.search.engine import EngineError
from streams.search.git.refs import commits_between, refs_and_boundary
from streams.threads import Interrupt, on_thread
from streams.transient import is_transient

SOURCE: Final = "//millstream/commitindexer"
_AT_ONCE: Final = 2
_PUBLISHED_AT_ONCE: Final = 4
"""Events of nearly a megabyte each."""
_REMEMBERED: Final = 20_000
_log = structlog.get_logger()


class _Asked(msgspec.Struct, frozen=True):
    """The newest push of a repository in a batch. ``again``: it was asked for once more, so nothing remembered counts."""

    cause: Event
    pushed_offset: int
    again: bool


class Coverages(Protocol):
    """What was told of repositories, as far as it is known."""

    async def of(self, repository_ids: Iterable[int]) -> dict[int, Told]: ...


class ProjectedCoverages:
    """From the commit graph."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of(self, repository_ids: Iterable[int]) -> dict[int, Told]:
        return await asyncio.to_thread(self._of, list(repository_ids))

    def _of(self, repository_ids: list[int]) -> dict[int, Told]:
        try:
            with self._reader.snapshot(("commit_graph",)) as snapshot:
                found = queries.coverages(snapshot.connection, repository_ids)
        except NotProjected:
            return {}  # everything is told of, then
        return {
            repository_id: Told(
                look_id=one.look_id,
                pushed_offset=one.pushed_offset,
                boundary=one.boundary,
                tips=one.tips,
            )
            for repository_id, one in found.items()
        }


class CommitIndexer:
    """One per process; repositories of one partition are worked on under its lease."""

    def __init__(self, clones: Clones, leases: Leases, places: Places, coverages: Coverages) -> None:
        self._clones = clones
        self._leases = leases
        self._places = places
        self._coverages = coverages
        self._told: dict[int, Told] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="commits.indexer",
            topics=(Topic.REPOSITORIES,),
            types=(RepositoryPushed, ObligationRenewed),
            handler=self.handle,
        )

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Only the newest push of each repository is answered: its look tells of all before it."""
        by_partition: dict[int, dict[int, _Asked]] = defaultdict(dict)
        positions: list[Position] = []
        for received in batch:
            data = received.event.data
            asked = by_partition[received.position.partition]
            if isinstance(data, RepositoryPushed):
                asked[data.repository_id] = _Asked(received.event, received.position.offset, False)
                positions.append(received.position)
            elif (owed := renewed(received.event, Owing.COMMITS_INDEX)) is not None:
                offset = int(owed.subject)
                newest = asked.get(owed.aggregate_id)
                if newest is None or newest.pushed_offset <= offset:
                    asked[owed.aggregate_id] = _Asked(received.event, offset, True)
        async with asyncio.TaskGroup() as group:
            for partition, wanted in by_partition.items():
                if wanted:
                    group.create_task(self._partition(partition, wanted, positions, context))
        return ()

    async def _partition(
        self, partition: int, asked: dict[int, _Asked], positions: Sequence[Position], context: Context
    ) -> None:
        mine = [one for one in positions if one.partition == partition]
        places = await self._places.of(mine, asked)
        projected = await self._coverages.of(asked)
        async with self._leases.partition(partition), asyncio.TaskGroup() as group:
            for place in places:
                one = asked[place.repository_id]
                told = self._newest(place.repository_id, projected.get(place.repository_id), one)
                if told is None or told.pushed_offset < one.pushed_offset:
                    group.create_task(self._index(place, one, told, context))

    def _newest(self, repository_id: int, projected: Told | None, one: _Asked) -> Told | None:
        """What was told last, as far as is known here."""
        mine = self._told.get(repository_id)
        if one.again or mine is None or (projected and projected.pushed_offset >= mine.pushed_offset):
            self._told.pop(repository_id, None)
            return projected
        return mine

    async def _index(self, place: Place, one: _Asked, told: Told | None, context: Context) -> None:
        async with self._room:
            try:
                folder = await self._clones.ready(
                    place.repository_id, place.path, place.clone_url, _tip(one.cause)
                )
                look, parts = await on_thread(
                    lambda interrupt: look_at(folder, place.repository_id, one.pushed_offset, told, interrupt)
                )
            except (CloneRefused, EngineError, OSError, ValueError) as error:
                if is_transient(error):
                    raise
                _log.warning("commits_not_indexed", repository=place.repository_id, reason=str(error))
                return
            await self._publish(parts, one.cause, context)
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[place.repository_id] = look.told

    async def _publish(self, parts: Sequence[CommitsIndexed], cause: Event, context: Context) -> None:
        for start in range(0, len(parts), _PUBLISHED_AT_ONCE):
            await context.publish(
                [
                    Outgoing(
                        new_event(
                            part, source=SOURCE, time=context.now(), event_id=event_id(part), cause=cause
                        )
                    )
                    for part in parts[start : start + _PUBLISHED_AT_ONCE]
                ]
            )


def look_at(
    folder: Path, repository_id: int, pushed_offset: int, told: Told | None, interrupt: Interrupt
) -> tuple[Look, list[CommitsIndexed]]:
    """Look at a clone; blocks while git works. Raises EngineError."""
    found = refs_and_boundary(folder)
    base = base_of(found, told)
    look = look_of(repository_id, pushed_offset, found, base)
    commits = commits_between(
        folder, look.told.tips, base.tips if base is not None else (), found.boundary, interrupt
    )
    return look, parts_of(look, commits)


def _tip(cause: Event) -> tuple[str, ...]:
    data = cause.data
    return (data.tip,) if isinstance(data, RepositoryPushed) and data.tip is not None else ()
