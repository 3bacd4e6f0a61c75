"""Events on ``millstream.uploads``, keyed by repository; the aggregate is the upload."""

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from schemas.limits import (
    MAX_MESSAGE_BYTES,
    MAX_PATH_BYTES,
    Code,
    Creator,
    FieldError,
    Message,
    check_bytes,
    check_instant,
)
from schemas.registry import Audience, Instant, Part, Payload, SafeId, event
from schemas.repositories.events import Sha
from schemas.topics import Topic

_ON: Final = (Topic.UPLOADS,)
_COUNT: Final = msgspec.Meta(ge=0, le=2**53 - 1)
MAX_INDEXER_BYTES: Final = 200
MAX_ROOT_BYTES: Final = 1_000
MAX_REPLACED: Final = 10_000

Count = Annotated[int, _COUNT]
Root = Annotated[
    str, msgspec.Meta(max_length=MAX_ROOT_BYTES, pattern=r"^([^\x00-\x1f/]+(/[^\x00-\x1f/]+)*/)?$(?!\n)")
]
"""The folder of the repository that was indexed: empty for all of it, else a path that ends in ``/``."""
Indexer = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MAX_INDEXER_BYTES, pattern=r"^[^\x00-\x1f]+$(?!\n)")
]
UploadFormat: TypeAlias = Literal["scip", "lsif"]
"""What an index is written in."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class UploadState(StrEnum):
    """Where an upload is in its life."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERRORED = "errored"
    """A fault that may go away by itself: it is processed again when ``not_before`` has passed."""
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class BlobPart(Part, frozen=True, kw_only=True):
    """A large thing that stands beside the log."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
    size_bytes: Count
    sha256: Sha256


class UploadDescription(Part, frozen=True, kw_only=True):
    """What was uploaded: which tool has indexed which folder at which commit."""

    commit: Sha
    root: Root
    indexer: Indexer
    indexer_version: Annotated[str, msgspec.Meta(max_length=MAX_INDEXER_BYTES)] = ""
    format: UploadFormat
    uploaded_by: Creator
    created_at: Instant

    def __post_init__(self) -> None:
        check_bytes("root", self.root, MAX_ROOT_BYTES)
        check_bytes("indexer", self.indexer, MAX_INDEXER_BYTES)
        check_bytes("indexer_version", self.indexer_version, MAX_INDEXER_BYTES)
        check_instant("created_at", self.created_at)
        if ".." in self.root.split("/") or "." in self.root.split("/"):
            raise FieldError("root", "has a part that is . or ..")


class UploadFailure(Part, frozen=True, kw_only=True):
    """Why an index could not be read: a code for programs, and where, as far as it is known.

    ``byte_offset`` counts in the index as it is before compression.
    """

    code: Code
    document: Annotated[str, msgspec.Meta(max_length=MAX_PATH_BYTES)] = ""
    byte_offset: Count | None = None

    def __post_init__(self) -> None:
        check_bytes("document", self.document, MAX_PATH_BYTES)


@event(
    "millstream.upload.state_changed",
    topics=_ON,
    key=lambda data: data.repository_id,
    subject=lambda data: data.upload_id,
    audience=Audience.INTERNAL,
    guarded=True,
)
class UploadStateChanged(Payload, frozen=True, kw_only=True):
    """An upload went from one state to another, or came to be (``from_state`` null); ``reason`` is for people.

    ``attempt`` counts what was tried before and came to nothing. ``not_before`` is when an errored one is due again.
    """

    upload_id: SafeId
    repository_id: SafeId
    from_state: UploadState | None
    to_state: UploadState
    reason: Message
    attempt: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    not_before: Instant | None = None
    upload: UploadDescription | None = None
    """Given exactly when the upload comes to be."""
    blob: BlobPart | None = None
    """Given when it becomes queued for the first time."""
    failure: UploadFailure | None = None
    changed_by: Creator = ""
    """Who asked for it; empty where an agent went on."""

    def __post_init__(self) -> None:
        check_bytes("reason", self.reason, MAX_MESSAGE_BYTES)
        if (self.from_state is None) != (self.upload is not None):
            raise FieldError("upload", "is given exactly when the upload comes to be")
        if self.not_before is not None:
            check_instant("not_before", self.not_before)


@event(
    "millstream.upload.indexed",
    topics=_ON,
    key=lambda data: data.repository_id,
    subject=lambda data: data.upload_id,
    audience=Audience.INTERNAL,
)
class UploadIndexed(Payload, frozen=True, kw_only=True):
    """An index was read to its end; ``manifest`` says where its documents are. ``size_bytes`` is that before compression."""

    upload_id: SafeId
    repository_id: SafeId
    documents: Count
    symbols: Count
    occurrences: Count
    packages: Count
    size_bytes: Count
    manifest: BlobPart
    tool_name: Annotated[str, msgspec.Meta(max_length=MAX_INDEXER_BYTES)] = ""
    tool_version: Annotated[str, msgspec.Meta(max_length=MAX_INDEXER_BYTES)] = ""
    text_document_encoding: Code = ""


@event(
    "millstream.upload.published",
    topics=_ON,
    key=lambda data: data.repository_id,
    subject=lambda data: data.upload_id,
    audience=Audience.INTERNAL,
    guarded=True,
)
class UploadPublished(Payload, frozen=True, kw_only=True):
    """A completed upload answers from now on, and those that it ``replaces`` do not."""

    upload_id: SafeId
    repository_id: SafeId
    commit: Sha
    root: Root
    indexer: Indexer
    replaces: Annotated[list[SafeId], msgspec.Meta(max_length=MAX_REPLACED)] = []


@event(
    "millstream.upload.content_removed",
    topics=_ON,
    key=lambda data: data.repository_id,
    subject=lambda data: data.upload_id,
    audience=Audience.INTERNAL,
)
class UploadContentRemoved(Payload, frozen=True, kw_only=True):
    """Of a deleted upload nothing is kept any more: neither index nor documents, but for what other uploads have too."""

    upload_id: SafeId
    repository_id: SafeId
