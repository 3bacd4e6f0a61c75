"""What the uploads agent reads and says: the projections, the ends of the log, the broker."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection

from infra.kafka.partitioner import partition_for
from projections.commit_graph import queries as commit_graph
from projections.reading import Reader
from projections.repositories import queries as repositories
from projections.repositories.queries import Repository
from projections.uploads import queries
from projections.uploads.queries import Upload
from schemas.codec import new_event
from schemas.envelope import Position
from schemas.events import UploadIndexed, UploadPublished, UploadState, UploadStateChanged
from schemas.topics import Topic
from streams.agent import Context, Outgoing
from streams.projected import EndsOfTopics
from streams.uploads.lifecycle import UploadPolicy, change_id, indexed_id, published_id

SOURCE: Final = "//millstream/uploads"
_LIMIT: Final = 2_000
_SLICE_S: Final = 10.0
_PROJECTION: Final = "uploads"
_log = structlog.get_logger()
T = TypeVar("T")


class Work(NamedTuple):
    """Uploads with which something may have to be done now, the oldest first, and their repositories. ``left``: those of them that are being
    deleted and that no answer can need any more."""

    uploads: Sequence[Upload]
    repositories: Mapping[int, Repository]
    left: frozenset[int]


class Looked(NamedTuple):
    """An upload that was looked at lately, in vain: not again before its own state or its repository has changed."""

    repository_id: int
    state_position: str
    pushed_offset: int | None


class Desk:
    """For one event loop."""

    def __init__(self, reader: Reader, log_ends: EndsOfTopics, context: Context, partitions: int) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self.context = context
        self._partitions = partitions

    @property
    def moves(self) -> int:
        """Changes when a projection has moved."""
        return self._reader.moves

    def partition_of(self, repository_id: int) -> int:
        """Where everything is said about a repository."""
        return partition_for(str(repository_id), self._partitions)

    async def open_work(
        self, partitions: Collection[int], policy: UploadPolicy, looked: Collection[Looked] = ()
    ) -> Work:
        """What the projections show now of these partitions."""
        now = self.context.now()
        return await self._read(
            lambda connection: self._open_work(connection, partitions, policy, looked, now)
        )

    async def settled(self, partition: int, policy: UploadPolicy, looked: Collection[Looked] = ()) -> Work:
        """The same of one partition, once the projection has passed its end as it is now."""
        ends = await asyncio.to_thread(self._log_ends.ends, (Topic.UPLOADS,))
        place = (Topic.UPLOADS.value, partition)
        wanted = {place: ends.get(place, 0)}
        while not await asyncio.to_thread(self._reader.wait_until, _PROJECTION, wanted, _SLICE_S):
            _log.info("projection_wait", projection=_PROJECTION)
        return await self.open_work((partition,), policy, looked)

    async def same_key(self, upload: Upload) -> list[Upload]:
        """Completed uploads of its repository, commit, root and indexer."""
        return await self._read(lambda connection: queries.of_key(connection, upload))

    async def newest_like(self, upload: Upload) -> Upload | None:
        """The completed upload whose documents are most likely its own too."""
        return await self._read(lambda connection: queries.newest_like(connection, upload))

    async def states(self, upload_ids: Collection[int]) -> dict[int, str]:
        """The states of those of these uploads that there are."""
        return await self._read(
            lambda connection: {one.id: one.state for one in queries.by_ids(connection, upload_ids).values()}
        )

    async def of(self, upload: Upload) -> Upload | None:
        """The upload as it is now."""
        return await self._read(lambda connection: queries.by_id(connection, upload.id))

    async def say(
        self, upload: Upload, payloads: Sequence[UploadStateChanged | UploadIndexed | UploadPublished]
    ) -> Sequence[Position]:
        """Publish these, in this order, as answers to the upload's present state; returns when they are projected."""
        now = self.context.now()
        positions = await self.context.publish(
            [Outgoing(new_event(one, source=SOURCE, time=now, event_id=_id(upload, one))) for one in payloads]
        )
        while not await asyncio.to_thread(self._reader.wait_for, _PROJECTION, positions, _SLICE_S):
            _log.info("projection_wait", projection=_PROJECTION)
        return positions

    def _open_work(
        self,
        connection: Connection,
        partitions: Collection[int],
        policy: UploadPolicy,
        looked: Collection[Looked],
        now: datetime,
    ) -> Work:
        def here(found: Collection[int]) -> list[int]:
            return [one for one in found if self.partition_of(one) in partitions]

        mine = here(queries.open_repositories(connection))
        removed = here(repositories.removed_until(connection, now - timedelta(seconds=policy.removed_s)))
        abandoned = queries.living_of(connection, removed, _LIMIT)
        known = repositories.by_ids(connection, {*mine, *(one.repository_id for one in abandoned)})
        due = queries.Due(
            now=now,
            announced_until=now - timedelta(seconds=policy.uploading_s),
            looked_at=[one.state_position for one in looked if _is_as_before(one, known)],
        )
        found = {
            (one.id, one.repository_id): one
            for one in (*queries.due_uploads(connection, mine, due, _LIMIT), *abandoned)
        }
        deleting = [one.id for one in found.values() if one.state == UploadState.DELETING]
        return Work(
            uploads=[found[key] for key in sorted(found)],
            repositories=known,
            left=commit_graph.left(connection, deleting) if deleting else frozenset(),
        )

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._reader.snapshot((_PROJECTION, "repositories", "commit_graph")) as snapshot:
                return query(snapshot.connection)

        return await asyncio.to_thread(read)


def _is_as_before(one: Looked, known: Mapping[int, Repository]) -> bool:
    repository = known.get(one.repository_id)
    return repository is None or repository.pushed_offset == one.pushed_offset


def _id(upload: Upload, payload: UploadStateChanged | UploadIndexed | UploadPublished) -> str:
    match payload:
        case UploadStateChanged():
            return change_id(upload, payload)
        case UploadIndexed():
            return indexed_id(upload)
        case UploadPublished():
            return published_id(upload)
