"""The registrar: makes a registered repository readable here, looks at its refs when asked, and says so (DESIGN
sections 2 and 6).

A path is used in place; a URL is mirrored. What it says is ``repository.pushed`` (the clone is ready; the refs have
moved) or ``repository.clone_failed`` with a reason. A look that finds nothing new says nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from schemas.codec import new_event
from schemas.envelope import Event, Position
from schemas.events import (
    ObligationRenewed,
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRefreshRequested,
    RepositoryRegistered,
)
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.leases import Leases
from streams.obligations.names import Owing, renewed
from streams.repositories.clones import Clones
from streams.repositories.glance import glance
from streams.repositories.location import CloneRefused, mirror_path
from streams.repositories.mirror import ensure_mirror, fetch_mirror
from streams.repositories.places import Memory, Place, Places, Said
from streams.repositories.pushes import answer_id, move_id, pushed
from streams.search.engine import EngineError, RefsState, refs_of
from streams.threads import Interrupt, on_thread
from streams.transient import is_transient

SOURCE: Final = "//millstream/registrar"
_AT_ONCE: Final = 4
_MESSAGE_CHARACTERS: Final = 1_000
_log = structlog.get_logger()


class _Asked(msgspec.Struct, frozen=True):
    """What a batch asks of one repository; ``is_owed``: an answer is due even where nothing has moved."""

    cause: Event
    position: Position
    is_owed: bool


class Registrar:
    """One per process; repositories of one partition are worked on under its lease."""

    def __init__(self, clones: Clones, leases: Leases, places: Places, memory: Memory) -> None:
        self._clones = clones
        self._leases = leases
        self._places = places
        self._memory = memory
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="registrar",
            topics=(Topic.REPOSITORIES,),
            types=(RepositoryRegistered, RepositoryRefreshRequested, ObligationRenewed),
            handler=self.handle,
            within_s=0.02,
        )

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Every outcome is published as it comes, so that one long clone holds no other repository back."""
        by_partition: dict[int, list[Received]] = defaultdict(list)
        for received in await self._accepted(batch):
            by_partition[received.position.partition].append(received)
        async with asyncio.TaskGroup() as group:
            for partition, inputs in by_partition.items():
                group.create_task(self._partition(partition, inputs, context))
        return ()

    async def _accepted(self, batch: Sequence[Received]) -> list[Received]:
        """Without the registrations that were rejected or said twice."""
        registered = [one.position for one in batch if isinstance(one.event.data, RepositoryRegistered)]
        accepted = await self._places.accepted(registered) if registered else set()
        return [
            one
            for one in batch
            if one.position in accepted or not isinstance(one.event.data, RepositoryRegistered)
        ]

    async def _partition(self, partition: int, batch: Sequence[Received], context: Context) -> None:
        asked: dict[int, _Asked] = {}
        for received in batch:
            data = received.event.data
            if isinstance(data, RepositoryRegistered):
                asked[data.repository_id] = _Asked(received.event, received.position, True)
            elif isinstance(data, RepositoryRefreshRequested):
                # A registration in the same batch looks at the refs too.
                asked.setdefault(data.repository_id, _Asked(received.event, received.position, False))
            elif (owed := renewed(received.event, Owing.REPOSITORY_CLONE)) is not None:
                asked[owed.aggregate_id] = _Asked(received.event, received.position, True)
        if not asked:
            return
        places = await self._places.of([one.position for one in asked.values()], asked)
        async with self._leases.partition(partition), asyncio.TaskGroup() as group:
            for place in places:
                one = asked[place.repository_id]
                answer = self._answer if one.is_owed else self._refresh
                group.create_task(answer(place, one.cause, context))

    async def _answer(self, place: Place, cause: Event, context: Context) -> None:
        async with self._room, self._clones.lock(place.repository_id):
            said = self._memory.newest(place)
            outcome = await on_thread(lambda interrupt: self.make_readable(place, said, interrupt))
            await self._publish(outcome, answer_id(outcome, cause.id), cause, context)

    async def _refresh(self, place: Place, cause: Event, context: Context) -> None:
        async with self._room:
            await self.look(place, context, cause)

    async def look(self, place: Place, context: Context, cause: Event | None = None) -> bool:
        """Say it when the refs have moved since they were said last; whether they had."""
        async with self._clones.lock(place.repository_id):
            said = self._memory.newest(place)
            outcome = await on_thread(lambda interrupt: self.make_readable(place, said, interrupt))
            if isinstance(outcome, RepositoryCloneFailed):
                return False  # it was readable before: the next look may find it so again
            if place.is_ready and said is not None and said.refs_fingerprint == outcome.refs_fingerprint:
                return False
            await self._publish(outcome, move_id(outcome, said), cause, context)
            return True

    @property
    def memory(self) -> Memory:
        """What this process said, and saw."""
        return self._memory

    async def _publish(
        self,
        outcome: RepositoryPushed | RepositoryCloneFailed,
        event_id: str,
        cause: Event | None,
        context: Context,
    ) -> None:
        event = new_event(outcome, source=SOURCE, time=context.now(), event_id=event_id, cause=cause)
        (position,) = await context.publish([Outgoing(event)])
        if isinstance(outcome, RepositoryPushed):
            said = Said(position.offset, outcome.tip, outcome.refs_fingerprint)
            self._memory.remember(outcome.repository_id, said)

    def make_readable(
        self, place: Place, said: Said | None, interrupt: Interrupt | None = None
    ) -> RepositoryPushed | RepositoryCloneFailed:
        """Blocks while git works. What is wrong with the repository is a result, not an error."""
        try:
            repository = self._prepare(place, interrupt)
            seen = None if place.path is None else glance(repository, time.time_ns())
            state: RefsState = refs_of(repository)
            if seen is not None:
                self._memory.see(place.repository_id, state.refs_fingerprint, seen)
            return pushed(place.repository_id, repository, said, state)
        except CloneRefused as error:
            reason, message = error.reason, str(error)
        except EngineError as error:
            reason, message = "not-a-repository", str(error)
        except (OSError, ValueError) as error:
            if is_transient(error):
                raise
            # A name too long, a folder that may not be entered: it will be no better when tried again.
            reason, message = "unreadable", f"{type(error).__name__}: {error}"
        message = message[:_MESSAGE_CHARACTERS]
        _log.warning("clone_failed", repository=place.repository_id, reason=reason, message=message)
        return RepositoryCloneFailed(repository_id=place.repository_id, reason=reason, message=message)

    def _prepare(self, place: Place, interrupt: Interrupt | None) -> Path:
        """The folder to read: what it holds is as new as it can be had."""
        if place.path is not None:
            folder = Path(place.path)
            if not folder.is_absolute():
                raise CloneRefused(
                    "path-not-absolute",
                    f"{place.path!r} is not absolute",
                    remedy="Register the absolute path.",
                )
            if not folder.is_dir():
                raise CloneRefused("path-missing", f"{place.path} is no folder on this machine")
            return folder
        if place.clone_url is None:
            raise CloneRefused("no-location", "neither a path nor a clone URL was given")
        mirror = mirror_path(self._clones.home, place.repository_id)
        if mirror.is_dir():
            fetch_mirror(mirror, place.clone_url, self._clones.policy, interrupt)
            return mirror
        return ensure_mirror(
            self._clones.home, place.repository_id, place.clone_url, self._clones.policy, interrupt
        )
