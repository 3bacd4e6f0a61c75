"""``POST /.api/scip/upload`` and ``/.api/lsif/upload``: indexes of code, in one piece or in many, as command-line clients send them.

Bodies are streamed to the store beside the log, never held. Parts lie there under the upload's id, so that any process of the API,
also one started later, goes on with them. 202 with the id means: on the log, to be processed; 204: the part is kept.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

import msgspec
import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.guard import current_user
from api.auth.user import User
from api.context import AppContext
from api.http.refusals import UPLOAD_PATHS, event_errors
from api.http.upload_request import Done, NewUpload, PartOf, UploadRefused, unknown_upload, upload_request
from api.judging import wait_judged
from infra.blobs import BlobRef, BlobStore, BlobStoreError
from infra.drafts import Drafts
from infra.kafka.errors import KafkaError
from projections.generations import NotProjected
from projections.judged import REJECTED, Verdict
from projections.repositories import queries as repositories
from projections.repositories.queries import Repository
from projections.uploads import queries as uploads
from schemas.codec import new_event
from schemas.events import BlobPart, UploadDescription, UploadState, UploadStateChanged
from schemas.ids import (
    InvalidRepositoryName,
    canonical_repository_name,
    derived_event_id,
    new_event_id,
    upload_id,
)

PATHS: Final = UPLOAD_PATHS
SOURCE: Final = "//millstream/api"
MAX_PART_BYTES: Final = 8 << 30
_BUFFER_BYTES: Final = 1 << 20
_THREADS: Final = 8
_WAIT_S: Final = 10.0
_SILENCE_S: Final = 60.0
_CHANCE: Final = 1 << 11
_DRAWS: Final = 5
_CLAIMED: Final = b"null"
"""The note of a draft of which nothing was announced: its id is taken, and no part is awaited."""
_log = structlog.get_logger()
T = TypeVar("T")


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """The note of a draft: what was said of an upload when it came to be."""

    repository_id: int
    parts: int
    uploaded_by: str | None = None
    """Who may send the parts; None in notes of earlier builds, where the projection knows."""


def routes(context: AppContext) -> list[BaseRoute]:
    """Both addresses; HEAD says that they are there and, with the parameters of an upload, whether it would be taken."""
    endpoint = UploadEndpoint(context)
    return [Route(path, endpoint.answer, methods=["HEAD", "POST"]) for path in PATHS]


class UploadEndpoint:
    """All requests of the protocol, and the threads in which they wait for store, Kafka and Postgres."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._drafts = Drafts(BlobStore(context.settings.effective_blob_url))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="uploads")

    async def answer(self, request: Request) -> Response:
        """The response to one request. Every error is JSON: code, message, remedy."""
        user = current_user(request)
        if user is None:
            return event_errors(401, "UNAUTHENTICATED", "Send 'Authorization: token T'.")
        looks = request.method != "POST"
        if looks and "repository" not in request.query_params:
            return Response(status_code=200)
        try:
            asked = upload_request(
                request.url.path,
                request.query_params,
                {name.lower(): value for name, value in request.headers.items()},
            )
            if looks:
                if isinstance(asked, NewUpload):
                    await self._run(lambda: self._repository(asked.repository, user))
                return Response(status_code=200)
            match asked:
                case NewUpload(parts=None):
                    return await self._in_one_piece(asked, request, user)
                case NewUpload():
                    return await self._announce(asked, user)
                case PartOf():
                    return await self._part(asked, request, user)
                case Done():
                    return await self._done(asked, user)
        except UploadRefused as error:
            return event_errors(error.status, error.code, str(error), error.remedy)
        except ClientDisconnect:
            return event_errors(400, "BODY_MALFORMED", "The body broke off.", "Send it again.")
        except (KafkaError, NotProjected) as error:
            return event_errors(503, "UNAVAILABLE", f"{error}.", error.remedy or "Send it again.")
        except SQLAlchemyError as error:
            _log.warning("database_unavailable", error=str(error))
            return event_errors(503, "UNAVAILABLE", "The database cannot be reached.", "Send it again.")
        except (BlobStoreError, OSError) as error:
            _log.error("blob_store_failed", error=f"{type(error).__name__}: {error}")
            return event_errors(
                503,
                "UNAVAILABLE",
                f"The index could not be stored ({type(error).__name__}).",
                "Send it again.",
            )

    async def _in_one_piece(self, asked: NewUpload, request: Request, caller: User) -> Response:
        repository = await self._run(lambda: self._repository(asked.repository, caller))
        described = _described(asked, caller.name)
        number = await self._claimed(described.created_at)
        name = str(number)
        try:
            if not await self._keep(name, 0, request.stream()):
                raise UploadRefused(
                    400, "BODY_MALFORMED", "The body is empty.", "Send the index, compressed with gzip."
                )
            blob = await self._run(lambda: self._drafts.keep(name, [0]))
        except BaseException:
            await self._forget(number)
            raise
        arrived = UploadStateChanged(
            upload_id=number,
            repository_id=repository.id,
            from_state=None,
            to_state=UploadState.QUEUED,
            reason="uploaded in one piece",
            upload=described,
            blob=_part_of(blob),
        )
        number = await self._begun(arrived, described.created_at, _CLAIMED)
        await self._forget(number)
        return _accepted(number)

    async def _announce(self, asked: NewUpload, caller: User) -> Response:
        repository = await self._run(lambda: self._repository(asked.repository, caller))
        described = _described(asked, caller.name)
        parts = asked.parts or 1
        note = msgspec.json.encode(
            Announced(repository_id=repository.id, parts=parts, uploaded_by=caller.name)
        )
        announced = UploadStateChanged(
            upload_id=await self._claimed(described.created_at),
            repository_id=repository.id,
            from_state=None,
            to_state=UploadState.UPLOADING,
            reason=f"{parts} part{'s' if parts > 1 else ''} announced",
            upload=described,
        )
        return _accepted(await self._begun(announced, described.created_at, note))

    async def _part(self, asked: PartOf, request: Request, caller: User) -> Response:
        announced = await self._run(lambda: self._announced(asked.upload_id, caller))
        if not 0 <= asked.index < announced.parts:
            raise UploadRefused(
                400,
                "INVALID_INPUT",
                f"index is {asked.index}: the parts of this upload are numbered 0 to {announced.parts - 1}.",
            )
        await self._keep(str(asked.upload_id), asked.index, request.stream())
        return Response(status_code=204)

    async def _done(self, asked: Done, caller: User) -> Response:
        number, name = asked.upload_id, str(asked.upload_id)
        try:
            announced = await self._run(lambda: self._announced(number, caller))
        except Finished:
            return Response(status_code=204)
        there = await self._run(lambda: self._drafts.pieces(name))
        missing = [index for index in range(announced.parts) if index not in there]
        if missing:
            shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
            raise UploadRefused(
                400,
                "PARTS_MISSING",
                f"{len(missing)} of {announced.parts} parts are missing: {shown}.",
                "Send them, and say done=true again.",
            )
        blob = await self._run(lambda: self._drafts.keep(name, range(announced.parts)))
        await self._say(
            UploadStateChanged(
                upload_id=number,
                repository_id=announced.repository_id,
                from_state=UploadState.UPLOADING,
                to_state=UploadState.QUEUED,
                reason=f"all of {announced.parts} part{'s' if announced.parts > 1 else ''} arrived",
                blob=_part_of(blob),
            ),
            derived_event_id("upload.arrived", number),
        )
        await self._forget(number)
        return Response(status_code=204)

    async def _keep(self, name: str, piece: int, body: AsyncIterator[bytes]) -> int:
        """Stream a body into a piece; its size. A body that breaks off leaves nothing."""
        waiting, size_bytes = bytearray(), 0
        target = await self._run(lambda: self._drafts.begin(name, piece))
        try:
            async for chunk in _timed(body):
                waiting += chunk
                size_bytes += len(chunk)
                if size_bytes > MAX_PART_BYTES:
                    raise UploadRefused(
                        413,
                        "BODY_TOO_LARGE",
                        f"A body has at most {MAX_PART_BYTES:,} bytes.",
                        "Send it in several parts.",
                    )
                if len(waiting) >= _BUFFER_BYTES:
                    await self._run(partial(target.write, bytes(waiting)))
                    waiting.clear()
            await self._run(partial(target.write, bytes(waiting)))
        except BaseException:
            await self._run(target.drop)
            raise
        await self._run(target.keep)
        return size_bytes

    def _repository(self, named: str, caller: User) -> Repository:
        """By name, however it is written, or by the address it was registered with. Raises UploadRefused."""
        with self._context.reader.snapshot(("repositories",), viewer=caller.viewer) as snapshot:
            connection = snapshot.connection
            found = repositories.by_name(connection, named) or repositories.by_location(connection, named)
            if found is None:
                try:
                    found = repositories.by_name(connection, canonical_repository_name(named))
                except InvalidRepositoryName:
                    found = None
        if found is None:
            raise UploadRefused(
                404,
                "NOT_FOUND",
                f"No repository {named[:200]!r} is followed.",
                "Add it first: millstream repo add.",
            )
        return found

    async def _claimed(self, at: datetime) -> int:
        """The id of an upload that came to be at ``at``, which is nobody else's: its draft says so to every process."""
        return await self._run(lambda: self._free_id(at))

    def _free_id(self, at: datetime) -> int:
        while True:
            number = upload_id(at, secrets.randbelow(_CHANCE))
            with self._context.reader.snapshot(("uploads",)) as snapshot:
                known = uploads.by_id(snapshot.connection, number)
            if known is None and self._drafts.claim(str(number), _CLAIMED):
                return number

    async def _begun(self, change: UploadStateChanged, at: datetime, note: bytes) -> int:
        """Say the first ``change`` of an upload whose id is claimed, with ``note`` at its draft; the id, which is another one where the
        log knew of an upload before its projection did. Raises UploadRefused, KafkaError: then nothing is claimed any more."""
        for draw in range(1, _DRAWS + 1):
            number = change.upload_id
            try:
                await self._run(partial(self._drafts.note, str(number), note))
                found = await self._published(change, new_event_id())
                if found.state == REJECTED and (found.reason_code is None or draw == _DRAWS):
                    raise _refused(found)
            except BaseException:
                await self._forget(number)
                raise
            if found.state != REJECTED:
                return number
            await self._forget(number)
            change = msgspec.structs.replace(change, upload_id=await self._claimed(at))
        raise TypeError("an upload begins or is refused")

    async def _forget(self, number: int) -> None:
        await self._run(lambda: self._drafts.forget(str(number)))

    def _announced(self, number: int, caller: User) -> Announced:
        """What was said of an upload whose parts are awaited, to who sends it, and site admins, while they see its repository.

        To anybody else it is not there. Raises UploadRefused, Finished.
        """
        note = self._drafts.noted(str(number))
        announced = msgspec.json.decode(note, type=Announced | None) if note else None
        with self._context.reader.snapshot(("uploads", "repositories"), viewer=caller.viewer) as snapshot:
            known = uploads.by_id(snapshot.connection, number)
            if announced is not None:
                of = announced.repository_id
                if of not in repositories.by_ids(snapshot.connection, [of]):
                    raise unknown_upload(number)
            senders = {None if announced is None else announced.uploaded_by, known and known.uploaded_by}
            if caller.name not in senders and not caller.site_admin:
                raise unknown_upload(number)
            if known is not None and known.state != UploadState.UPLOADING:
                if known.state in (UploadState.FAILED, UploadState.DELETED, UploadState.DELETING):
                    self._drafts.forget(str(number))  # it was deleted while its parts were on their way
                    raise UploadRefused(
                        409,
                        "REFUSED",
                        f"This upload is {known.state}: {known.state_reason}.",
                        "Begin again with a new one.",
                    )
                raise Finished(number)
        if announced is None:
            raise unknown_upload(number)
        return announced

    async def _say(self, change: UploadStateChanged, event_id: str) -> None:
        """Publish, and wait a while until it can be read. Raises UploadRefused when it is rejected."""
        found = await self._published(change, event_id)
        if found.state == REJECTED:
            raise _refused(found)

    async def _published(self, change: UploadStateChanged, event_id: str) -> Verdict:
        """What became of the change, as far as that can be read after a while."""
        event = new_event(change, source=SOURCE, time=datetime.now(UTC), event_id=event_id)

        def publish() -> Verdict:
            (position,) = self._context.publisher.publish([event])
            return wait_judged(self._context.reader, position, ("uploads",), _WAIT_S).verdict

        return await self._run(publish)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class Finished(UploadRefused):
    """All parts were there before: saying it again changes nothing, sending one again is too late."""

    def __init__(self, number: int) -> None:
        super().__init__(
            409, "REFUSED", f"All parts of upload {number} arrived before.", "Nothing is left to send."
        )


async def _timed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body as it comes. Raises UploadRefused when nothing has come for long."""
    while True:
        try:
            async with asyncio.timeout(_SILENCE_S):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise UploadRefused(
                408, "BODY_TOO_SLOW", f"Nothing of the body came for {_SILENCE_S:g} s.", "Send it again."
            ) from error
        yield chunk


def _described(asked: NewUpload, caller: str) -> UploadDescription:
    """Raises UploadRefused."""
    fields: Mapping[str, object] = {
        "commit": asked.commit,
        "root": asked.root,
        "indexer": asked.indexer,
        "indexer_version": asked.indexer_version,
        "format": asked.format,
        "uploaded_by": caller,
        "created_at": datetime.now(UTC),
    }
    try:
        return msgspec.convert(fields, UploadDescription)
    except msgspec.ValidationError as error:  # what every reader of the event would refuse
        raise UploadRefused(400, "INVALID_INPUT", f"{error}.") from error


def _refused(found: Verdict) -> UploadRefused:
    return UploadRefused(409, "REJECTED", f"Refused: {found.reason}.", "Begin again with a new upload.")


def _part_of(blob: BlobRef) -> BlobPart:
    return BlobPart(uri=blob.uri, size_bytes=blob.size_bytes, sha256=blob.sha256)


def _accepted(number: int) -> Response:
    """The id as text: old clients read it as such, and turn it into a number."""
    return Response(orjson.dumps({"id": str(number)}), status_code=202, media_type="application/json")
