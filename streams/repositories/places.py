"""Where followed repositories are, and what was said of their refs last."""

import asyncio
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from projections.judged import accepted_of
from projections.reading import AppliedPosition, Reader, Snapshot
from projections.repositories import queries
from projections.repositories.queries import Repository, Watched
from schemas.envelope import Position
from streams.repositories.glance import Glance

_SLICE_S: Final = 10.0
_State = tuple[str, tuple[AppliedPosition, ...]]
"""A generation, and how far each partition is folded into it."""


class Said(msgspec.Struct, frozen=True):
    """What the ``repository.pushed`` at ``offset`` of the repository's partition said."""

    offset: int
    tip: str | None
    refs_fingerprint: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One followed repository: read at ``path``, or mirrored from ``clone_url``. ``said`` None: nothing yet.

    ``is_ready``: the newest that was said of it is not that it could not be read.
    """

    repository_id: int
    path: str | None
    clone_url: str | None
    said: Said | None = None
    is_ready: bool = False


class Places(Protocol):
    """What the registrar and the poller read."""

    async def accepted(self, positions: Collection[Position]) -> set[Position]:
        """Those of these guarded events that the owner of their topic accepted; waits until it has passed them."""
        ...

    async def of(self, positions: Collection[Position], repository_ids: Collection[int]) -> list[Place]:
        """The followed ones, as they are after ``positions``; waits for these."""
        ...

    async def watched(self) -> Sequence[Place]:
        """All that are ready. The very same object while nothing has changed."""
        ...


class ProjectedPlaces:
    """From the repositories projection."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watched_at: _State | None = None
        self._watched_places: Sequence[Place] = ()

    async def accepted(self, positions: Collection[Position]) -> set[Position]:
        await self._wait(positions)
        return await asyncio.to_thread(self._accepted, positions)

    async def of(self, positions: Collection[Position], repository_ids: Collection[int]) -> list[Place]:
        await self._wait(positions)
        return await asyncio.to_thread(self._of, repository_ids)

    async def watched(self) -> Sequence[Place]:
        return await asyncio.to_thread(self._watched)

    async def _wait(self, positions: Iterable[Position]) -> None:
        while not await asyncio.to_thread(self._reader.wait_for, "repositories", positions, _SLICE_S):
            continue

    def _accepted(self, positions: Collection[Position]) -> set[Position]:
        with self._reader.snapshot(("repositories",)) as snapshot:
            return accepted_of(snapshot.connection, positions)

    def _of(self, repository_ids: Collection[int]) -> list[Place]:
        with self._reader.snapshot(("repositories",)) as snapshot:
            found = queries.by_ids(snapshot.connection, repository_ids)
        return [_place(one) for one in found.values() if one.removed_at is None]

    def _watched(self) -> Sequence[Place]:
        with self._reader.snapshot(("repositories",)) as snapshot:
            state = _state(snapshot)
            if state != self._watched_at:
                found = [_watched(one) for one in queries.watched(snapshot.connection)]
                self._watched_at, self._watched_places = state, found
        return self._watched_places


def _state(snapshot: Snapshot) -> _State:
    return snapshot.generations["repositories"].schema_name, snapshot.applied["repositories"]


class Memory:
    """The newest of what was said of each repository, as far as this process knows: the projection shows what it said itself
    a moment later, and a place may have been read before that. And how the files of refs looked when they had a fingerprint.
    Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[int, Said] = {}
        self._seen: dict[int, tuple[str, Glance]] = {}

    def newest(self, place: Place) -> Said | None:
        """What was said last of ``place``, as far as is known here."""
        if place.said is not None:
            self.remember(place.repository_id, place.said)
        with self._lock:
            return self._said.get(place.repository_id)

    def remember(self, repository_id: int, said: Said) -> None:
        """It is on the log."""
        with self._lock:
            known = self._said.get(repository_id)
            if known is None or known.offset < said.offset:
                self._said[repository_id] = said

    def has_seen(self, repository_id: int, refs_fingerprint: str, seen: Glance) -> bool:
        """Whether the files looked like this when the refs had this fingerprint."""
        return self._seen.get(repository_id) == (refs_fingerprint, seen)

    def see(self, repository_id: int, refs_fingerprint: str, seen: Glance) -> None:
        """The files looked like this before the fingerprint was taken."""
        self._seen[repository_id] = (refs_fingerprint, seen)


def _place(one: Repository) -> Place:
    said = None if one.pushed_offset is None else Said(one.pushed_offset, one.tip, one.refs_fingerprint or "")
    return Place(
        repository_id=one.id,
        path=one.path,
        clone_url=one.clone_url,
        said=said,
        is_ready=one.clone_state == "ready",
    )


def _watched(one: Watched) -> Place:
    return Place(
        repository_id=one.id,
        path=one.path,
        clone_url=one.clone_url,
        said=Said(one.pushed_offset, one.tip, one.refs_fingerprint),
        is_ready=True,
    )
