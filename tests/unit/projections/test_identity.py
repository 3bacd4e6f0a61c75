"""Is this still the log that was folded? Every way in which it may not be."""

import msgspec
import pytest

from infra.kafka.admin import Watermarks
from projections.runner.checkpoint import Checkpoint
from projections.runner.errors import LogMismatch, LogTruncated
from projections.runner.identity import check, last_record_needed

HERE = Checkpoint(
    topic="t",
    partition=0,
    cluster_id="c",
    topic_id=b"1" * 16,
    epoch=3,
    next_offset=100,
    last_offset=99,
    last_crc32=7,
)
NEW = msgspec.structs.replace(HERE, next_offset=50, last_offset=None, last_crc32=None)


@pytest.mark.parametrize(
    ("checkpoint", "marks", "crc32"),
    [
        (HERE, Watermarks(0, 100), 7),
        (HERE, Watermarks(0, 500), 7),
        (HERE, Watermarks(100, 500), None),
        (NEW, Watermarks(50, 50), None),
        (NEW, Watermarks(0, 90), None),
    ],
    ids=["at the end", "behind", "the last record has expired", "nothing read yet", "new, log start was 50"],
)
def test_the_same_log(checkpoint: Checkpoint, marks: Watermarks, crc32: int | None) -> None:
    check(checkpoint, "c", b"1" * 16, marks, crc32)
    assert last_record_needed(checkpoint, marks) == (crc32 is not None)


@pytest.mark.parametrize(
    ("cluster", "topic_id", "marks", "crc32"),
    [
        ("other", b"1" * 16, Watermarks(0, 100), 7),
        ("c", b"2" * 16, Watermarks(0, 100), 7),
        ("c", b"1" * 16, Watermarks(0, 99), None),
        ("c", b"1" * 16, Watermarks(0, 100), 8),
        ("c", b"1" * 16, Watermarks(0, 100), None),
    ],
    ids=["another cluster", "topic made anew", "end below the checkpoint", "another record", "unreadable"],
)
def test_another_log(cluster: str, topic_id: bytes, marks: Watermarks, crc32: int | None) -> None:
    with pytest.raises(LogMismatch) as caught:
        check(HERE, cluster, topic_id, marks, crc32)
    assert caught.value.remedy


def test_a_log_that_was_cut() -> None:
    with pytest.raises(LogTruncated) as caught:
        check(HERE, "c", b"1" * 16, Watermarks(101, 200), None)
    assert "101" in str(caught.value)
    assert caught.value.remedy
