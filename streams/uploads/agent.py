"""The uploads agent: leads every upload from its arrival to its end (app *hands*, since it asks the clone for the commit).

It looks at the present state again and again, so nothing of it can be missed: what an upload needs follows from its row. One process
works on the uploads of a partition, one after the other, under a lease: an upload that is being processed although
nobody works on it was left behind by one that died.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from infra.blobs import BlobRef
from infra.drafts import Drafts
from projections.repositories.queries import Repository
from projections.uploads.queries import Upload
from schemas.events import BlobPart, UploadFailure, UploadIndexed, UploadState, UploadStateChanged
from schemas.limits import shortened
from schemas.topics import Topic
from schemas.uploads.events import MAX_INDEXER_BYTES
from streams import faults
from streams.agent import Timer
from streams.leases import Leases
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused
from streams.search.engine import EngineError, has_commit
from streams.uploads import lifecycle
from streams.uploads.child import Fault, Malformed, Read, ReadTask, Reply
from streams.uploads.desk import Desk, Looked, Work
from streams.uploads.lifecycle import Step, UploadPolicy, next_step
from streams.uploads.processor import read_in_child

TICK_S: Final = 0.25
_LOOK_AT_LEAST_EVERY_S: Final = 2.0
_SWEEP_EVERY_S: Final = 3600.0
_ID_DIGITS: Final = 16
_log = structlog.get_logger()


class _Done(msgspec.Struct, frozen=True):
    """What was done last with an upload: the same is done again only when something has changed, or some time later."""

    step: Step
    looked: Looked
    at_s: float


class UploadAgent:
    """One per process. ``assigned`` gives the partitions that are worked here; ``at_once`` indexes are read at a time."""

    def __init__(
        self,
        desk: Desk,
        clones: Clones,
        leases: Leases,
        drafts: Drafts,
        *,
        blob_url: str,
        assigned: Callable[[], Mapping[str, Sequence[int]]],
        at_once: int,
        policy: UploadPolicy,
    ) -> None:
        self._desk = desk
        self._clones = clones
        self._leases = leases
        self._drafts = drafts
        self._blob_url = blob_url
        self._assigned = assigned
        self._policy = policy
        self._room = asyncio.Semaphore(at_once)
        self._working: dict[int, asyncio.Task[None]] = {}
        self._done: dict[int, _Done] = {}
        self._seen_moves: int | None = None
        self._seen_s = float("-inf")
        self._swept_s = float("-inf")
        self._ticking = asyncio.Lock()

    @property
    def timer(self) -> Timer:
        return Timer(name="uploads", interval_s=TICK_S, tick=self.tick, on_leader=False)

    async def tick(self) -> None:
        """Begin what has become due. What takes long goes on meanwhile. Raises what such work has raised since."""
        if self._ticking.locked():
            return
        async with self._ticking:
            reap(self._working)
            moves, now_s = self._desk.moves, time.monotonic()
            if moves == self._seen_moves and now_s - self._seen_s < _LOOK_AT_LEAST_EVERY_S:
                return
            self._seen_moves, self._seen_s = moves, now_s
            mine = frozenset(self._assigned().get(Topic.REPOSITORIES.value, ()))
            if not mine:
                return
            if now_s - self._swept_s >= _SWEEP_EVERY_S:
                self._swept_s = now_s
                await self._sweep()
            work = await self._desk.open_work(mine, self._policy, self._looked())
            for partition in {self._desk.partition_of(one.repository_id) for one, _ in self._due(work)}:
                if partition not in self._working:
                    self._working[partition] = asyncio.create_task(self._partition(partition))

    async def settle(self) -> None:
        """Wait for the work that goes on."""
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _sweep(self) -> None:
        """Forget the parts of uploads that await none any more, or whose process died before it could say anything."""
        names = await asyncio.to_thread(self._drafts.names)
        left = lifecycle.left_drafts(
            names,
            await self._desk.states(
                [int(name) for name in names if name.isascii() and name.isdigit() and len(name) <= _ID_DIGITS]
            ),
            self._desk.context.now(),
            self._policy,
        )
        for name in left:
            await asyncio.to_thread(self._drafts.forget, name)
        if left:
            _log.info("drafts_forgotten", drafts=len(left))

    def _looked(self) -> list[Looked]:
        """What need not be read again yet. What was done longer ago is forgotten."""
        now_s = time.monotonic()
        self._done = {
            key: one for key, one in self._done.items() if now_s - one.at_s < self._policy.commit_look_s
        }
        return [one.looked for one in self._done.values() if one.step is Step.READ]

    def _due(self, work: Work) -> list[tuple[Upload, Step]]:
        """Those that need something now, and what; not what was just done in vain."""
        now, now_s = self._desk.context.now(), time.monotonic()
        found: list[tuple[Upload, Step]] = []
        for one in work.uploads:
            repository = work.repositories.get(one.repository_id)
            removed_at = None if repository is None else repository.removed_at
            step = next_step(one, now, self._policy, removed_at)
            if step is None or (step is Step.END and one.id not in work.left):
                continue
            if step is Step.RECOVER and faults.leaves_behind():
                continue
            done = self._done.get(one.id)
            if (
                done is None
                or (done.step, done.looked.state_position) != (step, one.state_position)
                or (repository is not None and done.looked.pushed_offset != repository.pushed_offset)
                or now_s - done.at_s >= self._policy.commit_look_s
            ):
                found.append((one, step))
        return found

    async def _partition(self, partition: int) -> None:
        """Everything that is due in one partition, until nothing is."""
        async with self._leases.partition_if_free(partition) as is_mine:
            while is_mine:
                work = await self._desk.settled(partition, self._policy, self._looked())
                due = self._due(work)
                for upload, step in due:
                    if not self._is_mine(partition):
                        return
                    repository = work.repositories.get(upload.repository_id)
                    pushed = None if repository is None else repository.pushed_offset
                    looked = Looked(upload.repository_id, upload.state_position, pushed)
                    self._done[upload.id] = _Done(step, looked, time.monotonic())
                    await self._step(upload, step, repository)
                if not due:
                    return

    def _is_mine(self, partition: int) -> bool:
        return partition in self._assigned().get(Topic.REPOSITORIES.value, ())

    async def _step(self, upload: Upload, step: Step, repository: Repository | None) -> None:
        """One step. It may have been overtaken since it was seen to be due: the guard refuses what comes too late."""
        match step:
            case Step.READ:
                await self._read(upload, repository)
            case Step.RECOVER:
                await self._fault(upload, "worker-died", lifecycle.WORKER_DIED)
            case Step.PUBLISH:
                same_key = await self._desk.same_key(upload)
                await self._desk.say(upload, [lifecycle.publication(upload, same_key)])
            case Step.LEAVE:
                await self._say(
                    upload, lifecycle.changed(upload, UploadState.DELETING, lifecycle.OVERLAPPING)
                )
            case Step.END:
                await self._say(upload, lifecycle.changed(upload, UploadState.DELETED, lifecycle.UNREACHABLE))
            case Step.EXPIRE:
                await self._say(upload, lifecycle.changed(upload, UploadState.DELETED, lifecycle.STUCK))
                await asyncio.to_thread(self._drafts.forget, str(upload.id))
            case Step.ABANDON:
                await self._say(upload, lifecycle.abandoned(upload))
                await asyncio.to_thread(self._drafts.forget, str(upload.id))

    async def _read(self, upload: Upload, repository: Repository | None) -> None:
        if repository is None or repository.removed_at is not None:
            await self._say(
                upload, lifecycle.changed(upload, UploadState.DELETED, lifecycle.UNKNOWN_REPOSITORY)
            )
            return
        if not lifecycle.is_scip(upload):
            failure = UploadFailure(code="lsif")
            await self._say(
                upload, lifecycle.changed(upload, UploadState.FAILED, lifecycle.NO_LSIF, failure=failure)
            )
            return
        lacking = await self._lacks_commit(upload, repository)
        if lacking:
            change = lifecycle.waiting(upload, lacking, self._desk.context.now(), self._policy)
            if change is not None:
                await self._say(upload, change)
            return
        async with self._room:
            begun = await self._begun(upload)
            if begun is None:
                return
            earlier = await self._desk.newest_like(begun)
            reply = await read_in_child(
                ReadTask(
                    blob_url=self._blob_url,
                    index=_blob_of(begun),
                    earlier=None if earlier is None else earlier.manifest,
                    memory_bytes=self._policy.memory_bytes,
                ),
                self._policy.timeout_s,
            )
        await self._answer(begun, reply)

    async def _begun(self, upload: Upload) -> Upload | None:
        """The upload, said to be processed from here; None where that came too late."""
        reason = "begins to be processed"
        (position,) = await self._desk.say(
            upload, [lifecycle.changed(upload, UploadState.PROCESSING, reason)]
        )
        found = await self._desk.of(upload)
        return found if found is not None and found.state_position == str(position) else None

    async def _answer(self, upload: Upload, reply: Reply) -> None:
        match reply:
            case Read(indexed=found):
                facts, manifest = found.facts, found.manifest
                indexed = UploadIndexed(
                    upload_id=upload.id,
                    repository_id=upload.repository_id,
                    documents=facts.documents,
                    symbols=facts.symbols,
                    occurrences=facts.occurrences,
                    packages=found.packages,
                    size_bytes=facts.raw_bytes,
                    manifest=BlobPart(
                        uri=manifest.uri, size_bytes=manifest.size_bytes, sha256=manifest.sha256
                    ),
                    tool_name=shortened(facts.tool_name, MAX_INDEXER_BYTES),
                    tool_version=shortened(facts.tool_version, MAX_INDEXER_BYTES),
                    text_document_encoding=facts.text_document_encoding,
                )
                reason = f"{facts.documents:,} documents were read"
                await self._desk.say(
                    upload, [indexed, lifecycle.changed(upload, UploadState.COMPLETED, reason)]
                )
            case Malformed(code=code, message=message, document=document, byte_offset=byte_offset):
                failure = UploadFailure(code=code, document=document, byte_offset=byte_offset)
                await self._say(
                    upload,
                    lifecycle.changed(
                        upload, UploadState.FAILED, message, attempt=upload.num_failures, failure=failure
                    ),
                )
            case Fault(code=code, message=message, is_bug=is_bug):
                (_log.error if is_bug else _log.warning)(
                    "upload_not_read", upload=upload.id, reason=code, message=message
                )
                await self._fault(upload, code, message)

    async def _fault(self, upload: Upload, code: str, message: str) -> None:
        now = self._desk.context.now()
        await self._say(upload, lifecycle.after_fault(upload, code, message, now, self._policy))

    async def _lacks_commit(self, upload: Upload, repository: Repository) -> str:
        """Why the index cannot be placed yet; empty when its commit is there."""
        if repository.clone_state == "waiting":
            return "the repository is still being cloned"
        if repository.clone_state == "failed":
            return f"the repository cannot be read ({repository.clone_error})"
        try:
            folder = await self._clones.ready(
                repository.id, repository.path, repository.clone_url, (upload.commit,)
            )
            is_there = await asyncio.to_thread(has_commit, folder, upload.commit)
        except (CloneRefused, EngineError) as error:
            return f"the repository cannot be read ({error})"
        return "" if is_there else f"commit {upload.commit} is not in the repository yet"

    async def _say(self, upload: Upload, change: UploadStateChanged) -> None:
        _log.info(
            "upload",
            upload=upload.id,
            before=upload.state,
            after=change.to_state.value,
            reason=change.reason,
        )
        await self._desk.say(upload, [change])


def reap(working: dict[int, asyncio.Task[None]]) -> None:
    """Take out the tasks that have ended. Raises all that they raised: one that goes away by itself hides no bug."""
    ended = {key: task for key, task in working.items() if task.done()}
    for key in ended:
        del working[key]
    errors = [error for task in ended.values() if (error := task.exception()) is not None]
    if errors:
        raise BaseExceptionGroup("; ".join(str(error) for error in errors), errors)


def _blob_of(upload: Upload) -> BlobRef:
    found = upload.blob
    if found is None:  # the event that queues an upload has it: what it names is not there
        return BlobRef("nothing that was uploaded", 0, "0" * 64)
    return found
