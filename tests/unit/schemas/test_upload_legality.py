"""The life of an upload: what may follow what, for every pair of states, and each upload for itself."""

from collections.abc import Sequence
from itertools import product

import pytest

from schemas.codec import new_event
from schemas.events import (
    BlobPart,
    UploadDescription,
    UploadPublished,
    UploadState,
    UploadStateChanged,
)
from schemas.judgement import AggregateState
from schemas.legality import Accepted, Judgement, Rejected
from schemas.registry import Payload
from schemas.uploads.legal import MAY_FOLLOW, decide
from tests.support.projecting import COMMIT, T0

S = UploadState
OK = "accepted"
PUBLISHED = UploadPublished(
    upload_id=9, repository_id=1, commit=COMMIT, root="", indexer="scip-go", replaces=[]
)


def change(before: UploadState | None, after: UploadState) -> UploadStateChanged:
    described = UploadDescription(
        commit=COMMIT, root="", indexer="scip-go", format="scip", uploaded_by="c", created_at=T0
    )
    return UploadStateChanged(
        upload_id=9,
        repository_id=1,
        from_state=before,
        to_state=after,
        reason="r",
        upload=described if before is None else None,
        blob=BlobPart(uri="u", size_bytes=1, sha256="0" * 64) if after is S.QUEUED else None,
    )


def run(payloads: Sequence[Payload]) -> list[str]:
    state, found = AggregateState(), list[str]()
    for payload in payloads:
        judgement: Judgement = decide(state, new_event(payload, source="//t", time=T0), {})
        if isinstance(judgement, Accepted):
            state = judgement.state
        found.append(judgement.reason_code.value if isinstance(judgement, Rejected) else OK)
    return found


def life(*states: UploadState) -> list[Payload]:
    return [change(before, after) for before, after in zip((None, *states), states, strict=False)]


@pytest.mark.parametrize(("before", "after"), list(product((None, *S), S)))
def test_a_change_is_legal_exactly_where_the_table_says(
    before: UploadState | None, after: UploadState
) -> None:
    lifecycle = "" if before is None else before.value
    judgement = decide(
        AggregateState(3, lifecycle), new_event(change(before, after), source="//t", time=T0), {}
    )
    assert isinstance(judgement, Accepted) is (after in MAY_FOLLOW[before])
    if isinstance(judgement, Accepted):
        assert judgement.state == AggregateState(4, after.value)


def test_two_workers_that_end_the_same_attempt_cannot_both_be_right() -> None:
    payloads = [
        *life(S.QUEUED, S.PROCESSING, S.COMPLETED),
        change(S.PROCESSING, S.FAILED),
        PUBLISHED,
        PUBLISHED,
    ]
    assert run(payloads) == [OK, OK, OK, "illegal", OK, OK]


def test_what_was_deleted_meanwhile_is_neither_completed_nor_published() -> None:
    payloads = [*life(S.QUEUED, S.PROCESSING, S.DELETED), change(S.PROCESSING, S.COMPLETED), PUBLISHED]
    assert run(payloads) == [OK, OK, OK, "deleted", "deleted"]


def test_an_upload_that_is_on_its_way_out_is_not_published_again() -> None:
    payloads = [
        *life(S.QUEUED, S.PROCESSING, S.COMPLETED, S.DELETING),
        PUBLISHED,
        change(S.DELETING, S.DELETED),
    ]
    assert run(payloads) == [OK, OK, OK, OK, "illegal", OK]


def test_nothing_is_said_of_an_upload_that_is_not_there() -> None:
    assert run([PUBLISHED, change(S.QUEUED, S.PROCESSING)]) == ["unknown", "unknown"]
