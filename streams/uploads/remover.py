"""The remover: takes the blobs of deleted uploads out of the store (a timer of the leader, app *heads*).

Everything follows from the rows and from what lies in the store, so a restart loses nothing. Uploads share the store with the results of
monitors. So it decides nothing before the projections of both have passed the ends of their topics, and nothing while an event of
either is a dead letter or in quarantine: it may name anything.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

import structlog

from infra.aside import Aside
from infra.blobs import BlobCorrupt, BlobMissing, BlobRef, BlobStore
from projections.monitors.queries.history import named_blobs
from projections.reading import Reader, Snapshot
from projections.uploads.queries import Content, Contents, contents, is_anything_left
from schemas.codec import new_event
from schemas.events import UploadContentRemoved
from schemas.ids import derived_event_id
from schemas.topics import Topic
from streams.agent import Context, Outgoing, Timer
from streams.projected import EndsOfTopics, has_passed
from streams.uploads.desk import SOURCE
from streams.uploads.removal import Removing, manifests_of, named_by, removing
from streams.uploads.store import Manifest

LOOK_S: Final = 60.0
_PROJECTION: Final = "uploads"
_MONITORS: Final = "monitors"
_NAMERS: Final[Mapping[str, Topic]] = {_PROJECTION: Topic.UPLOADS, _MONITORS: Topic.TRIGGERS}
"""Projections whose rows name blobs, each with the topic from which it knows them."""
_SWEEP_EVERY_S: Final = 3600.0
_HALF_WRITTEN_FOR: Final = timedelta(days=1)
"""Nothing is written for longer: what is older was left by a writer that was killed."""
_log = structlog.get_logger()


class Remover:
    """One per process; its timer runs in the leader."""

    def __init__(
        self, reader: Reader, log_ends: EndsOfTopics, blobs: BlobStore, context: Context, grace: timedelta
    ) -> None:
        self._reader = reader
        self._log_ends = log_ends
        self._blobs = blobs
        self._aside = Aside(blobs)
        self._context = context
        self._grace = grace
        self._packs: dict[str, frozenset[str]] = {}
        self._ticking = asyncio.Lock()
        self._swept_s = float("-inf")

    @property
    def timer(self) -> Timer:
        return Timer(name="uploads.remover", interval_s=LOOK_S, tick=self.tick)

    async def tick(self) -> None:
        """Do what is due."""
        if self._ticking.locked():
            return
        async with self._ticking:
            try:
                await asyncio.to_thread(self._sweep)
                if not await asyncio.to_thread(self._is_anything_due):
                    return
                for projection, topic in _NAMERS.items():
                    if not await has_passed(self._reader, self._log_ends, projection, topic):
                        return
                done = await asyncio.to_thread(self._remove)
            except (OSError, BlobMissing, BlobCorrupt) as error:
                # What cannot be read may name anything: nothing more is removed this time.
                _log.warning("blobs_not_removed", error=str(error))
                return
            if done:
                await self._say(done)

    def _sweep(self) -> None:
        """What was left half written; runs on a thread."""
        if time.monotonic() - self._swept_s < _SWEEP_EVERY_S:
            return
        self._swept_s = time.monotonic()
        files = self._blobs.sweep(self._context.now() - _HALF_WRITTEN_FOR)
        if files:
            _log.info("half_written_blobs_removed", files=files)

    def _is_anything_due(self) -> bool:
        with self._reader.snapshot((_PROJECTION,)) as snapshot:
            is_left = is_anything_left(snapshot.connection)
        return is_left or bool(self._aside.all())

    def _remove(self) -> list[Content]:
        """Runs on a thread; the uploads with which it is through."""
        now, aside = self._context.now(), self._aside.all()
        found = self._contents()
        if found is None:
            return []
        packs = self._packs_of(found)
        left = named_by(found.left, packs) - named_by(found.kept, packs)
        there = {digest for digest in left if digest not in aside and self._blobs.exists(digest)}
        elsewhere = self._named_elsewhere(left | set(aside))
        if elsewhere is None:
            return []
        due = removing(found, packs, aside, there, now, self._grace, elsewhere)
        for digest in due.bring_back:
            self._aside.bring_back(digest)
        for digest in due.set_aside:
            self._aside.set(digest, now)
        for digest in due.remove:
            self._aside.remove(digest, aside[digest])
        _note(due)
        return due.done

    def _contents(self) -> Contents | None:
        """None where the rows do not say all that is on the log."""
        with self._reader.snapshot((_PROJECTION,)) as snapshot:
            return None if _has_put_aside(snapshot, _PROJECTION) else contents(snapshot.connection)

    def _named_elsewhere(self, digests: Collection[str]) -> frozenset[str] | None:
        """Those of these blobs that something names which is no upload; None where that is not known."""
        with self._reader.snapshot((_MONITORS,)) as snapshot:
            if _has_put_aside(snapshot, _MONITORS):
                return None
            return named_blobs(snapshot.connection, digests)

    def _packs_of(self, found: Contents) -> Mapping[str, frozenset[str]]:
        """By manifest. Raises BlobMissing, BlobCorrupt for one that is needed."""
        kept, left = manifests_of(found.kept), manifests_of(found.left)
        self._packs = {digest: self._packs.get(digest) or self._read(ref) for digest, ref in kept.items()} | {
            digest: packs for digest, packs in self._packs.items() if digest in left
        }
        for digest, ref in left.items():
            if digest not in self._packs:
                try:
                    self._packs[digest] = self._read(ref)
                except (BlobMissing, BlobCorrupt):
                    continue  # it left last: nothing of it is there any more
        return self._packs

    def _read(self, ref: BlobRef) -> frozenset[str]:
        return frozenset(pack.sha256 for pack in Manifest(self._blobs, ref).directory.packs)

    async def _say(self, done: list[Content]) -> None:
        now = self._context.now()
        await self._context.publish(
            [
                Outgoing(
                    new_event(
                        UploadContentRemoved(upload_id=one.upload_id, repository_id=one.repository_id),
                        source=SOURCE,
                        time=now,
                        event_id=derived_event_id("upload.content_removed", one.upload_id, one.repository_id),
                    )
                )
                for one in done
            ]
        )


def _has_put_aside(snapshot: Snapshot, projection: str) -> bool:
    found = snapshot.has_put_aside(projection, _NAMERS[projection].value)
    if found:
        _log.info("blobs_not_removed", error=f"events of {projection} are put aside")
    return found


def _note(due: Removing) -> None:
    if due.bring_back or due.set_aside or due.remove:
        _log.info(
            "blobs_removed",
            removed=len(due.remove),
            set_aside=len(due.set_aside),
            brought_back=len(due.bring_back),
            uploads=len(due.done),
        )
