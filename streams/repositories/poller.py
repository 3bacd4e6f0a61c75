"""The poller: looks at the refs of the repositories whose partitions are worked here, every so often.

It is for what no hook tells. The interval is a site setting; the moments of repositories are spread over it. What
has not moved costs a look at a few files, or one short git command.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from infra.kafka.partitioner import partition_for
from schemas.topics import Topic
from streams.agent import Context, Timer
from streams.leases import Leases
from streams.repositories.glance import glance
from streams.repositories.places import Place, Places
from streams.repositories.polling import Rota
from streams.repositories.registrar import Registrar
from streams.search.engine import EngineError, refs_fingerprint
from streams.transient import is_transient

TICK_S: Final = 1.0
READ_AGAIN_S: Final = 5.0
_AT_ONCE: Final = 4
_log = structlog.get_logger()


class Poller:
    """One per process. ``assigned`` gives the partitions that are worked here, ``interval_s`` the site setting."""

    def __init__(
        self,
        registrar: Registrar,
        places: Places,
        leases: Leases,
        context: Context,
        *,
        partitions: int,
        assigned: Callable[[], Mapping[str, Sequence[int]]],
        interval_s: Callable[[], float],
    ) -> None:
        self._registrar = registrar
        self._places = places
        self._leases = leases
        self._context = context
        self._partitions = partitions
        self._assigned = assigned
        self._interval_s = interval_s
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._fetch_room = asyncio.Semaphore(_AT_ONCE)
        self._fetching: dict[int, asyncio.Task[bool]] = {}
        self._since_s: float | None = None
        self._watched: Sequence[Place] = ()
        self._rota = Rota()
        self._watched_s = float("-inf")
        self._ticking = asyncio.Lock()

    @property
    def timer(self) -> Timer:
        return Timer(name="poller", interval_s=TICK_S, tick=self.tick, on_leader=False)

    async def tick(self) -> None:
        """Look at what has become due since the last time."""
        if not self._ticking.locked():
            async with self._ticking:
                await self.poll(time.monotonic())

    async def poll(self, now_s: float) -> int:
        """Look at what is due at ``now_s``; how many repositories that are read in place had moved.

        Mirrors are fetched meanwhile and outlast the call: a host that does not answer holds up no other repository.
        Raises what such a fetch has raised since the last call.
        """
        self._reap()
        since_s, self._since_s = self._since_s, now_s
        interval_s = await asyncio.to_thread(self._interval_s)
        if since_s is None or interval_s <= 0:
            return 0
        if now_s - self._watched_s >= min(READ_AGAIN_S, interval_s):
            await self._read_again(now_s)
        mine = frozenset(self._assigned().get(Topic.REPOSITORIES.value, ()))
        in_place: list[Place] = []
        for place in self._rota.due(since_s=since_s, until_s=now_s, interval_s=interval_s):
            partition = partition_for(str(place.repository_id), self._partitions)
            if partition not in mine:
                continue
            if place.path is not None:
                in_place.append(place)
            elif place.repository_id not in self._fetching:
                self._fetching[place.repository_id] = asyncio.create_task(self._fetch(place, partition))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look(place)) for place in in_place]
        moved = sum(task.result() for task in tasks)
        if moved:
            _log.info("polled", moved=moved, looked_at=len(in_place))
        return moved

    async def settle(self) -> None:
        """Wait for the fetches that go on."""
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _reap(self) -> None:
        ended = {key: task for key, task in self._fetching.items() if task.done()}
        for key in ended:
            del self._fetching[key]
        errors = [error for task in ended.values() if (error := task.exception()) is not None]
        if errors:
            raise BaseExceptionGroup("fetches failed", errors)

    async def _read_again(self, now_s: float) -> None:
        watched, self._watched_s = await self._places.watched(), now_s
        if watched is not self._watched:
            self._watched, self._rota = watched, await asyncio.to_thread(Rota, watched)

    async def _fetch(self, place: Place, partition: int) -> bool:
        """Another process that still works on this partition fetches its mirrors itself."""
        async with self._fetch_room, self._leases.partition_if_free(partition) as is_mine:
            return is_mine and await self._registrar.look(place, self._context)

    async def _look(self, place: Place) -> bool:
        async with self._room:
            try:
                if await asyncio.to_thread(self._is_still, place):
                    return False
                return await self._registrar.look(place, self._context)
            except OSError as error:
                if is_transient(error):
                    raise
                _log.warning("not_polled", repository=place.repository_id, error=str(error))
                return False

    def _is_still(self, place: Place) -> bool:
        """Whether a repository that is read in place has the refs that were said last, as cheaply as can be told.

        One that cannot be read now is left alone: it was readable, and may be so again.
        """
        memory = self._registrar.memory
        said = memory.newest(place)
        if said is None or place.path is None:
            return False
        repository = Path(place.path)
        seen = glance(repository, time.time_ns())
        if seen is not None and memory.has_seen(place.repository_id, said.refs_fingerprint, seen):
            return True
        try:
            still = refs_fingerprint(repository) == said.refs_fingerprint
        except EngineError as error:
            _log.warning("not_polled", repository=place.repository_id, error=str(error))
            return True
        if still and seen is not None:
            memory.see(place.repository_id, said.refs_fingerprint, seen)
        return still
