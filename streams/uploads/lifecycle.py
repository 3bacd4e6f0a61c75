"""What is to be done with an upload next, and what is said of it then. Pure: the time and what is known come in.

Ids follow from the upload and the change that is answered: of two that answer the same change, one is a repeat.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Protocol

import msgspec

from schemas.events import UploadFailure, UploadPublished, UploadState, UploadStateChanged
from schemas.ids import MAX_ID, derived_event_id, upload_time
from schemas.limits import shortened
from schemas.uploads.events import MAX_REPLACED

OVERLAPPING: Final = "upload overlapping with a newer upload"
STUCK: Final = "stuck in uploading state"
UNREACHABLE: Final = "upload not reachable within the commit graph"
UNKNOWN_REPOSITORY: Final = "upload associated with repository not known to this instance"
COMMIT_NOT_FOUND: Final = "commit not found"
NO_LSIF: Final = (
    "LSIF is no longer processed: make a SCIP index, and upload that "
    "(Content-Type: application/x-protobuf+scip)"
)
WORKER_DIED: Final = "the worker that processed it ended before it had"


class UploadPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``retry_after_s``: the delays after attempts that came to nothing; after the last one an upload has failed."""

    retry_after_s: tuple[float, ...] = (10.0, 60.0, 600.0)
    commit_wait_s: float = 24 * 3600.0
    """How long a queued upload waits for its commit, or for its repository's clone."""
    commit_look_s: float = 60.0
    """Time between two looks for it; a push of the repository is a reason to look at once."""
    uploading_s: float = 24 * 3600.0
    """How long the parts of an upload may take."""
    removed_s: float = 30 * 60.0
    """How long uploads outlast their repository: it may be registered again."""
    timeout_s: float = 25 * 60.0
    """Longest reading of one index."""
    memory_bytes: int = 1 << 30


class Step(Enum):
    """What an upload is in need of."""

    READ = "read"
    """Its index is to be read."""
    RECOVER = "recover"
    """Whoever read it is not there any more."""
    PUBLISH = "publish"
    LEAVE = "leave"
    """A newer one answers in its place."""
    END = "end"
    """It leaves for good, once no answer can need it."""
    EXPIRE = "expire"
    """Its parts did not come in time."""
    ABANDON = "abandon"
    """Its repository is not there any more."""


class Known(Protocol):
    """What is known of an upload: a row of the projection."""

    @property
    def id(self) -> int: ...
    @property
    def repository_id(self) -> int: ...
    @property
    def commit(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def indexer(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def uploaded_at(self) -> datetime: ...
    @property
    def state(self) -> str: ...
    @property
    def state_reason(self) -> str: ...
    @property
    def state_position(self) -> str: ...
    @property
    def queued_at(self) -> datetime | None: ...
    @property
    def process_after(self) -> datetime | None: ...
    @property
    def num_failures(self) -> int: ...
    @property
    def published_at(self) -> datetime | None: ...
    @property
    def replaced_by(self) -> int | None: ...


def next_step(
    upload: Known, now: datetime, policy: UploadPolicy, removed_at: datetime | None = None
) -> Step | None:
    """What is due now; None while nothing is. Only for who knows that nobody else works on it.

    ``removed_at``: since when its repository is not followed any more.
    """
    state = UploadState(upload.state)
    is_removed = removed_at is not None and now - removed_at >= timedelta(seconds=policy.removed_s)
    if is_removed and state not in (UploadState.DELETING, UploadState.DELETED):
        return Step.ABANDON
    match state:
        case UploadState.UPLOADING:
            late = now - upload.uploaded_at >= timedelta(seconds=policy.uploading_s)
            return Step.EXPIRE if late else None
        case UploadState.QUEUED:
            return Step.READ
        case UploadState.ERRORED:
            return Step.READ if upload.process_after is None or upload.process_after <= now else None
        case UploadState.PROCESSING:
            return Step.RECOVER
        case UploadState.COMPLETED:
            if upload.replaced_by is not None:
                return Step.LEAVE
            return Step.PUBLISH if upload.published_at is None else None
        case UploadState.DELETING:
            return Step.END
        case UploadState.FAILED | UploadState.DELETED:
            return None


def changed(
    upload: Known,
    to: UploadState,
    reason: str,
    *,
    attempt: int | None = None,
    not_before: datetime | None = None,
    failure: UploadFailure | None = None,
) -> UploadStateChanged:
    """The change of ``upload`` from its present state."""
    return UploadStateChanged(
        upload_id=upload.id,
        repository_id=upload.repository_id,
        from_state=UploadState(upload.state),
        to_state=to,
        reason=shortened(reason),
        attempt=upload.num_failures if attempt is None else attempt,
        not_before=not_before,
        failure=failure,
    )


def abandoned(upload: Known) -> UploadStateChanged:
    """It leaves with its repository: a completed one only once no answer can need it."""
    is_completed = upload.state == UploadState.COMPLETED
    return changed(upload, UploadState.DELETING if is_completed else UploadState.DELETED, UNKNOWN_REPOSITORY)


def change_id(upload: Known, change: UploadStateChanged) -> str:
    """The id of the event that says ``change``."""
    return derived_event_id("upload.state_changed", upload.id, upload.state_position, change.to_state.value)


def published_id(upload: Known) -> str:
    """The id of the event that publishes it."""
    return derived_event_id("upload.published", upload.id, upload.state_position)


def indexed_id(upload: Known) -> str:
    """The id of the event that says what was found in its index."""
    return derived_event_id("upload.indexed", upload.id, upload.state_position)


def after_fault(
    upload: Known, code: str, message: str, now: datetime, policy: UploadPolicy
) -> UploadStateChanged:
    """What a fault leads to that may go away by itself: another attempt later, or the end of trying."""
    failure = UploadFailure(code=code)
    tried = upload.num_failures
    if tried < len(policy.retry_after_s):
        delay_s = policy.retry_after_s[tried]
        return changed(
            upload,
            UploadState.ERRORED,
            message,
            attempt=tried + 1,
            not_before=now + timedelta(seconds=delay_s),
            failure=failure,
        )
    return changed(
        upload,
        UploadState.FAILED,
        f"{message} (after {tried + 1} attempts)",
        attempt=tried + 1,
        failure=failure,
    )


def waiting(upload: Known, why: str, now: datetime, policy: UploadPolicy) -> UploadStateChanged | None:
    """What is said of one that cannot be read yet: once why it waits, and at the end that it waited in vain."""
    since = upload.queued_at or upload.uploaded_at
    if now - since >= timedelta(seconds=policy.commit_wait_s):
        reason = f"{COMMIT_NOT_FOUND}: {why}"
        return changed(upload, UploadState.FAILED, reason, failure=UploadFailure(code="commit-not-found"))
    reason = f"waits: {why}"
    if upload.state == UploadState.QUEUED and upload.state_reason == reason:
        return None
    return changed(upload, UploadState.QUEUED, reason)


def publication(upload: Known, same_key: Sequence[Known]) -> UploadPublished | UploadStateChanged:
    """How a completed upload goes on among the completed ones of its repository, commit, root and indexer.

    A larger id is newer: it replaces the older ones that answer now, and one that comes late leaves without having answered.
    """
    others = [one for one in same_key if one.id != upload.id]
    if any(one.id > upload.id and one.published_at is not None for one in others):
        return changed(upload, UploadState.DELETING, OVERLAPPING)
    replaced = [one.id for one in others if one.published_at is not None and one.replaced_by is None]
    return UploadPublished(
        upload_id=upload.id,
        repository_id=upload.repository_id,
        commit=upload.commit,
        root=upload.root,
        indexer=upload.indexer,
        replaces=sorted(replaced)[:MAX_REPLACED],
    )


def left_drafts(
    names: Iterable[str], states: Mapping[int, str], now: datetime, policy: UploadPolicy
) -> list[str]:
    """Names (ids) of drafts that nobody goes on with: ``states`` are those of the uploads that there are."""
    late = timedelta(seconds=policy.uploading_s)
    return sorted(
        name
        for name in names
        if name.isascii()
        and name.isdigit()
        and int(name) <= MAX_ID
        and states.get(int(name)) != UploadState.UPLOADING
        and now - upload_time(int(name)) >= late
    )


def is_scip(upload: Known) -> bool:
    """Whether its format is one that is read."""
    return upload.content_type == "scip"
