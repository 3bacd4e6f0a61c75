"""Uploads as their pages show them: the schema's answers, typed, and the words for states."""

from datetime import datetime
from typing import Final

import msgspec

from api.web.answers import AsOf

_LOOKS: Final = {
    "COMPLETED": "ready",
    "PROCESSING_ERRORED": "failed",
    "DELETED": "empty",
    "DELETING": "empty",
}
_WORDS: Final = {
    "UPLOADING_INDEX": "uploading",
    "QUEUED_FOR_PROCESSING": "queued",
    "PROCESSING": "processing",
    "PROCESSING_ERRORED": "failed",
    "COMPLETED": "completed",
    "DELETING": "deleting",
    "DELETED": "deleted",
}
_MOVING: Final = frozenset(("UPLOADING_INDEX", "QUEUED_FOR_PROCESSING", "PROCESSING", "DELETING"))


class _Answer(msgspec.Struct, rename="camel"):
    """Field names as in the schema."""


class _Repository(_Answer):
    name: str


class _Root(_Answer):
    repository: _Repository


class _Page(_Answer):
    end_cursor: str | None
    has_next_page: bool


class _State(_Answer):
    """What list and page share."""

    id: str
    url: str
    project_root: _Root | None
    input_commit: str
    input_root: str
    input_indexer: str
    state: str
    state_reason: str
    uploaded_at: datetime
    visible: bool
    retry_at: datetime | None

    @property
    def repository(self) -> str:
        return "" if self.project_root is None else self.project_root.repository.name

    @property
    def root(self) -> str:
        return self.input_root or "/"

    @property
    def word(self) -> str:
        """The state for people."""
        if self.state == "PROCESSING_ERRORED" and self.retry_at is not None:
            return "errored"
        return _WORDS.get(self.state, self.state.lower())

    @property
    def look(self) -> str:
        """The class of the state's sign."""
        return _LOOKS.get(self.state, "waiting")

    @property
    def is_moving(self) -> bool:
        """Whether the state changes by itself: the page then asks again."""
        is_about_to_answer = self.state == "COMPLETED" and not self.visible
        return self.state in _MOVING or is_about_to_answer or self.retry_at is not None


class _Count(_Answer):
    documents: int


class Row(_State):
    """One upload in a list."""

    statistics: _Count | None


class Listed(_Answer):
    """``preciseIndexes``."""

    nodes: list[Row]
    total_count: int | None
    page_info: _Page
    as_of: list[AsOf]


class ListAnswer(_Answer):
    precise_indexes: Listed


class _Indexer(_Answer):
    version: str


class _Failure(_Answer):
    code: str
    document: str | None
    byte_offset: str | None


class _Statistics(_Answer):
    documents: int
    symbols: int
    occurrences: int
    packages: int
    upload_size: str | None
    uncompressed_size: str


class _Column(_Answer):
    column: str
    old: str | None
    new: str | None


class Change(_Answer):
    """One entry of the timeline."""

    log_timestamp: datetime
    reason: str | None
    changed_columns: list[_Column]
    position: str

    @property
    def words(self) -> str:
        """What happened, in a word or two."""
        (column,) = self.changed_columns
        return column.new or "" if column.column == "state" else column.column.replace("_", " ")


class Upload(_State):
    """``PreciseIndex``."""

    indexer: _Indexer
    uploaded_by: str
    queued_at: datetime | None
    processing_started_at: datetime | None
    processing_finished_at: datetime | None
    failure: str | None
    failure_details: _Failure | None
    failed_attempts: int
    place_in_queue: int | None
    replaced_by: str | None
    statistics: _Statistics | None
    audit_logs: list[Change]
    as_of: list[AsOf]

    @property
    def can_be_deleted(self) -> bool:
        return self.state not in ("DELETING", "DELETED")


class UploadAnswer(_Answer):
    node: dict[str, object] | None

    @property
    def upload(self) -> Upload | None:
        """None where the id is of something else, or of nothing."""
        return msgspec.convert(self.node, Upload) if self.node else None


class _Found(_Answer):
    id: str
    name: str


class RepositoryAnswer(_Answer):
    repository: _Found | None
