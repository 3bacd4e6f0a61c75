"""Is this still the log that a checkpoint was folded from? Pure: facts in, an error or nothing out (DESIGN 7)."""

from typing import Final

from infra.kafka.admin import Watermarks
from projections.runner.checkpoint import Checkpoint
from projections.runner.errors import LogMismatch, LogTruncated

_REBUILD: Final = (
    "If the log was replaced on purpose, drop this projection's schema and its row in runtime.generations, and start the "
    "projector: it folds the new log from its start. Otherwise point MILLSTREAM_KAFKA_BOOTSTRAP at the old cluster again."
)
_RESTORE: Final = (
    "Restore the topic from a copy, and set its retention as `millstream topics apply` does. If the lost events may be "
    "missing for ever, drop this projection's schema and its row in runtime.generations, and start the projector."
)


def last_record_needed(checkpoint: Checkpoint, marks: Watermarks) -> bool:
    """Whether the log still holds the last record applied, so that it has to be compared."""
    return checkpoint.last_offset is not None and marks.start <= checkpoint.last_offset < marks.end


def check(
    checkpoint: Checkpoint,
    cluster_id: str,
    topic_id: bytes,
    marks: Watermarks,
    last_crc32: int | None,
) -> None:
    """Compare a checkpoint with the log; ``last_crc32`` is that of the last record applied, re-read (None: there is none there).

    Raises LogMismatch, LogTruncated.
    """
    place = f"{checkpoint.topic}/{checkpoint.partition}"
    if (checkpoint.cluster_id, checkpoint.topic_id) != (cluster_id, topic_id):
        raise LogMismatch(
            f"{place} is another topic than the one that was folded up to here", remedy=_REBUILD
        )
    if marks.end < checkpoint.next_offset:
        raise LogMismatch(
            f"{place} ends at {marks.end}, and {checkpoint.next_offset} was to be read next", remedy=_REBUILD
        )
    if last_record_needed(checkpoint, marks) and last_crc32 != checkpoint.last_crc32:
        raise LogMismatch(
            f"{place} holds another record at {checkpoint.last_offset} than the one that was folded",
            remedy=_REBUILD,
        )
    if marks.start > checkpoint.next_offset:
        raise LogTruncated(
            f"{place} starts at {marks.start}, and {checkpoint.next_offset} was to be read next",
            remedy=_RESTORE,
        )
