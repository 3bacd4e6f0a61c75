"""Events of the uploads topic into rows of ``lsif_uploads``, and each of them into the timeline."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert, Value, upserts
from projections.folding import Folding
from schemas.events import (
    UploadContentRemoved,
    UploadIndexed,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)

_CREATED: Final = (
    "commit",
    "root",
    "indexer",
    "indexer_version",
    "content_type",
    "uploaded_by",
    "uploaded_at",
)
_STATE: Final = (
    "state",
    "state_reason",
    "state_changed_at",
    "state_position",
    "process_after",
    "started_at",
    "finished_at",
    "num_failures",
    "failure_message",
    "failure_code",
    "failure_document",
    "failure_byte_offset",
)
_BLOB: Final = ("queued_at", "upload_size", "blob_uri", "blob_sha256")
_INDEXED: Final = (
    "uncompressed_size",
    "num_documents",
    "num_symbols",
    "num_occurrences",
    "num_packages",
    "tool_name",
    "tool_version",
    "text_document_encoding",
    "manifest_uri",
    "manifest_size",
    "manifest_sha256",
)
_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys((*_CREATED, *_BLOB), Keep.FIRST),
    **dict.fromkeys((*_STATE, *_INDEXED), Keep.LAST),
    "published_at": Keep.FIRST,
    "replaced_by": Keep.FIRST,
    "content_removed_at": Keep.FIRST,
}
_LOG: Final[Mapping[str, Rule]] = dict.fromkeys(
    (
        "operation",
        "from_state",
        "to_state",
        "reason",
        "attempt",
        "log_timestamp",
        "appended_at",
        "source",
        "event_id",
    ),
    Keep.FIRST,
)
_ENDED: Final = frozenset((UploadState.COMPLETED, UploadState.FAILED, UploadState.ERRORED))


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change. Changes come in the order in which they were accepted."""
    uploads = SparseTable("lsif_uploads", ("repository_id", "id"), _RULES)
    log = SparseTable("lsif_uploads_audit_logs", ("repository_id", "upload_id", "partition", "offset"), _LOG)
    for folding in events:
        at = folding.event.time
        match folding.event.data:
            case UploadStateChanged() as data:
                uploads.set((data.repository_id, data.upload_id), **_changed(folding, data))
                before = None if data.from_state is None else data.from_state.value
                _note(
                    log,
                    folding,
                    (data.repository_id, data.upload_id),
                    operation="create" if before is None else "modify",
                    from_state=before,
                    to_state=data.to_state.value,
                    reason=data.reason,
                    attempt=data.attempt,
                )
            case UploadIndexed() as data:
                uploads.set(
                    (data.repository_id, data.upload_id),
                    uncompressed_size=data.size_bytes,
                    num_documents=data.documents,
                    num_symbols=data.symbols,
                    num_occurrences=data.occurrences,
                    num_packages=data.packages,
                    tool_name=data.tool_name,
                    tool_version=data.tool_version,
                    text_document_encoding=data.text_document_encoding,
                    manifest_uri=data.manifest.uri,
                    manifest_size=data.manifest.size_bytes,
                    manifest_sha256=data.manifest.sha256,
                )
                _note(log, folding, (data.repository_id, data.upload_id), operation="indexed")
            case UploadPublished() as data:
                uploads.set((data.repository_id, data.upload_id), published_at=at)
                for replaced in data.replaces:
                    if replaced != data.upload_id:
                        uploads.set((data.repository_id, replaced), replaced_by=data.upload_id)
                _note(log, folding, (data.repository_id, data.upload_id), operation="published")
            case UploadContentRemoved() as data:
                uploads.set((data.repository_id, data.upload_id), content_removed_at=at)
                _note(log, folding, (data.repository_id, data.upload_id), operation="content_removed")
            case _:
                pass
    return upserts((uploads, log))


def _changed(folding: Folding, data: UploadStateChanged) -> dict[str, Value]:
    """The columns of one change; what belongs to an earlier attempt is taken back."""
    at, state = folding.event.time, data.to_state
    found: dict[str, Value] = {
        "state": state.value,
        "state_reason": data.reason,
        "state_changed_at": at,
        "state_position": str(folding.position),
        "num_failures": data.attempt,
        "process_after": data.not_before,
    }
    if state is UploadState.PROCESSING:
        found |= {"started_at": at, "finished_at": None}
    if state in _ENDED:
        found["finished_at"] = at
    if state in (UploadState.FAILED, UploadState.ERRORED):
        failure = data.failure
        found |= {
            "failure_message": data.reason,
            "failure_code": None if failure is None else failure.code,
            "failure_document": None if failure is None else failure.document,
            "failure_byte_offset": None if failure is None else failure.byte_offset,
        }
    elif state in (UploadState.PROCESSING, UploadState.COMPLETED):
        found |= dict.fromkeys(("failure_message", "failure_code", "failure_document", "failure_byte_offset"))
    if data.upload is not None:
        described = data.upload
        found |= {
            "commit": described.commit,
            "root": described.root,
            "indexer": described.indexer,
            "indexer_version": described.indexer_version,
            "content_type": described.format,
            "uploaded_by": described.uploaded_by,
            "uploaded_at": described.created_at,
        }
    if data.blob is not None:
        found |= {
            "queued_at": at,
            "upload_size": data.blob.size_bytes,
            "blob_uri": data.blob.uri,
            "blob_sha256": data.blob.sha256,
        }
    return found


def _note(log: SparseTable, folding: Folding, upload: tuple[int, int], **columns: Value) -> None:
    log.set(
        (*upload, folding.position.partition, folding.position.offset),
        log_timestamp=folding.event.time,
        appended_at=folding.appended_at,
        source=folding.event.source,
        event_id=folding.event.id,
        **columns,
    )
