"""The fold of uploads: the last change holds, the first description stays, and every change is in the timeline."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections.changes import Keep, Upsert
from projections.folding import Folding
from projections.uploads.fold import fold
from schemas.codec import new_event
from schemas.events import (
    BlobPart,
    UploadContentRemoved,
    UploadDescription,
    UploadFailure,
    UploadIndexed,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.registry import Payload
from tests.support.projecting import COMMIT, T0, folding

S = UploadState
BLOB = BlobPart(uri="file:///b", size_bytes=7, sha256="0" * 64)


def change(upload_id: int, before: UploadState | None, after: UploadState, **more: Any) -> UploadStateChanged:
    described = UploadDescription(
        commit=COMMIT,
        root="",
        indexer="scip-go",
        format="scip",
        uploaded_by="c",
        created_at=T0,
    )
    return UploadStateChanged(
        upload_id=upload_id,
        repository_id=1,
        from_state=before,
        to_state=after,
        reason=f"to {after.value}",
        upload=described if before is None else None,
        **more,
    )


LIFE: list[Payload] = [
    change(1, None, S.UPLOADING),
    change(1, S.UPLOADING, S.QUEUED, blob=BLOB),
    change(1, S.QUEUED, S.PROCESSING),
    change(1, S.PROCESSING, S.ERRORED, attempt=1, not_before=T0, failure=UploadFailure(code="blob-store")),
    change(1, S.ERRORED, S.PROCESSING, attempt=1),
    UploadIndexed(
        upload_id=1,
        repository_id=1,
        documents=3,
        symbols=4,
        occurrences=5,
        packages=2,
        size_bytes=70,
        manifest=BLOB,
    ),
    change(1, S.PROCESSING, S.COMPLETED, attempt=1),
    UploadPublished(upload_id=1, repository_id=1, commit=COMMIT, root="", indexer="scip-go", replaces=[9, 1]),
]


def log(payloads: list[Payload]) -> list[Folding]:
    return [
        folding(
            new_event(one, source="//t", time=T0 + timedelta(seconds=offset), event_id=f"e-{offset}"), offset
        )
        for offset, one in enumerate(payloads)
    ]


def rows(batches: list[list[Upsert]], table: str) -> dict[tuple[object, ...], dict[str, object]]:
    """What a table holds after these, each column by its rule."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for upsert in (one for batch in batches for one in batch if one.table == table):
        width = len(upsert.keys)
        for row in upsert.rows:
            kept = found.setdefault(row[:width], {})
            for name, rule, value in zip(upsert.columns, upsert.rules, row[width:], strict=True):
                if rule is not Keep.FIRST or kept.get(name) is None:
                    kept[name] = value
    return found


def test_a_life_is_a_row_and_a_timeline() -> None:
    batches = [fold(log(LIFE))]
    uploads = rows(batches, "lsif_uploads")
    row = uploads[1, 1]
    assert (row["state"], row["num_failures"], row["failure_code"]) == ("completed", 1, None)
    assert (row["num_documents"], row["uncompressed_size"], row["upload_size"]) == (3, 70, 7)
    assert row["queued_at"] == T0 + timedelta(seconds=1)
    assert row["started_at"] == T0 + timedelta(seconds=4)
    assert row["finished_at"] == T0 + timedelta(seconds=6)
    assert row["published_at"] == T0 + timedelta(seconds=7)
    assert "replaced_by" not in row, "nobody replaces itself"
    assert uploads[1, 9] == {"replaced_by": 1}
    timeline = rows(batches, "lsif_uploads_audit_logs")
    assert [one["operation"] for one in timeline.values()].count("modify") == 5
    assert {key[3] for key in timeline} == set(range(len(LIFE)))
    assert len(timeline) == len(LIFE)


def test_what_was_removed_of_a_deleted_one_stands_in_row_and_timeline() -> None:
    batches = [fold(log([*LIFE, UploadContentRemoved(upload_id=1, repository_id=1)]))]
    at = T0 + timedelta(seconds=len(LIFE))
    assert rows(batches, "lsif_uploads")[1, 1]["content_removed_at"] == at
    timeline = rows(batches, "lsif_uploads_audit_logs")
    assert [one["operation"] for one in timeline.values()][-1] == "content_removed"


def test_an_errored_one_says_why_and_when_it_is_tried_again() -> None:
    row = rows([fold(log(LIFE[:4]))], "lsif_uploads")[1, 1]
    assert (row["state"], row["failure_code"], row["process_after"]) == ("errored", "blob-store", T0)
    assert row["failure_message"] == "to errored"


@given(
    st.lists(st.sampled_from(range(len(LIFE))), max_size=12),
    st.lists(st.integers(1, 5), min_size=12, max_size=12),
)
def test_the_cut_into_batches_is_not_seen(chosen: list[int], cuts: list[int]) -> None:
    events = log([LIFE[number] for number in chosen])
    batches, place = [], 0
    for size in cuts:
        batches.append(fold(events[place : place + size]))
        place += size
    for table in ("lsif_uploads", "lsif_uploads_audit_logs"):
        assert rows(batches, table) == rows([fold(events)], table)
