"""What is due with an upload, and what is said: every state, both clocks, and everything that is said is legal."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import UploadPublished, UploadState, UploadStateChanged
from schemas.ids import upload_id
from schemas.uploads.legal import MAY_FOLLOW
from streams.uploads import lifecycle
from streams.uploads.lifecycle import Step, UploadPolicy, next_step
from tests.support.projecting import COMMIT, T0

S = UploadState
POLICY = UploadPolicy()


class One(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as the projection has it."""

    id: int = 10
    repository_id: int = 1
    commit: str = COMMIT
    root: str = ""
    indexer: str = "scip-go"
    content_type: str = "scip"
    uploaded_at: datetime = T0
    state: str = S.QUEUED.value
    state_reason: str = "uploaded"
    state_position: str = "millstream.uploads/0@1"
    queued_at: datetime | None = T0
    process_after: datetime | None = None
    num_failures: int = 0
    published_at: datetime | None = None
    replaced_by: int | None = None


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("upload", "seconds", "step"),
    [
        (One(), 0, Step.READ),
        (One(state="uploading"), 86_399, None),
        (One(state="uploading"), 86_400, Step.EXPIRE),
        (One(state="processing"), 0, Step.RECOVER),
        (One(state="errored", process_after=after(10)), 9, None),
        (One(state="errored", process_after=after(10)), 10, Step.READ),
        (One(state="completed"), 0, Step.PUBLISH),
        (One(state="completed", published_at=T0), 0, None),
        (One(state="completed", published_at=T0, replaced_by=11), 0, Step.LEAVE),
        (One(state="completed", replaced_by=11), 0, Step.LEAVE),
        (One(state="deleting"), 0, Step.END),
        (One(state="failed"), 10**9, None),
        (One(state="deleted"), 10**9, None),
    ],
)
def test_what_is_due(upload: One, seconds: float, step: Step | None) -> None:
    assert next_step(upload, after(seconds), POLICY) is step


@pytest.mark.parametrize("state", list(S))
def test_half_an_hour_after_its_repository_everything_leaves_that_is_not_leaving(state: UploadState) -> None:
    upload = One(state=state.value, published_at=T0)
    now = after(1_799)
    assert next_step(upload, now, POLICY, removed_at=T0) is next_step(upload, now, POLICY)
    step = next_step(upload, after(1_800), POLICY, removed_at=T0)
    if state in (S.DELETING, S.DELETED):
        assert step is next_step(upload, after(1_800), POLICY)
        return
    assert step is Step.ABANDON
    change = lifecycle.abandoned(upload)
    assert change.to_state in MAY_FOLLOW[state]
    assert change.to_state is (S.DELETING if state is S.COMPLETED else S.DELETED)


def test_a_fault_is_tried_again_after_ten_seconds_a_minute_and_ten_minutes_and_then_no_more() -> None:
    upload, delays = One(state="processing"), list[float]()
    while True:
        change = lifecycle.after_fault(upload, "blob-store", "the store is away", T0, POLICY)
        if change.not_before is None:
            break
        assert change.to_state is S.ERRORED
        delays.append((change.not_before - T0).total_seconds())
        upload = msgspec.structs.replace(upload, num_failures=change.attempt)
    assert delays == [10, 60, 600]
    assert (change.to_state, change.attempt) == (S.FAILED, 4)
    assert change.reason == "the store is away (after 4 attempts)"


def test_who_waits_says_why_once_and_fails_after_a_day() -> None:
    first = lifecycle.waiting(One(), "no such commit", after(1), POLICY)
    assert first is not None
    assert (first.to_state, first.reason, first.attempt) == (S.QUEUED, "waits: no such commit", 0)
    waiting = One(state_reason=first.reason)
    assert lifecycle.waiting(waiting, "no such commit", after(86_399), POLICY) is None
    other = lifecycle.waiting(waiting, "still cloning", after(2), POLICY)
    assert other is not None
    last = lifecycle.waiting(waiting, "no such commit", after(86_400), POLICY)
    assert last is not None
    assert last.to_state is S.FAILED
    assert last.reason.startswith("commit not found")
    assert last.attempt == 0, "waiting is no failure"


def test_the_newest_upload_of_a_key_answers_whatever_is_ready_first() -> None:
    old = One(id=10, state="completed", published_at=T0)
    new, newest = One(id=11, state="completed"), One(id=12, state="completed", published_at=T0)
    replaced = One(id=9, state="completed", published_at=T0, replaced_by=10)
    said = lifecycle.publication(new, [new, old, replaced])
    assert isinstance(said, UploadPublished)
    assert said.replaces == [10]
    late = lifecycle.publication(new, [newest, new, old])
    assert isinstance(late, UploadStateChanged)
    assert (late.to_state, late.reason) == (S.DELETING, "upload overlapping with a newer upload")
    waiting = One(id=12, state="completed")
    alone = lifecycle.publication(new, [waiting, new])
    assert isinstance(alone, UploadPublished), "a newer one that does not answer yet replaces this one later"


def test_drafts_that_nobody_goes_on_with_are_left() -> None:
    old, young = upload_id(after(-86_400), 1), upload_id(after(-86_399), 2)
    names = [str(old), str(old + 1), str(old + 2), str(young), "note", str(10**17)]
    states = {old: "uploading", old + 1: "deleted", young: "deleted"}
    assert lifecycle.left_drafts(names, states, T0, POLICY) == [str(old + 1), str(old + 2)]


@given(
    st.sampled_from(list(S)),
    st.integers(0, 5),
    st.booleans(),
    st.floats(0, 200_000),
)
def test_whatever_is_said_may_follow(state: UploadState, failures: int, queued: bool, seconds: float) -> None:
    upload = One(state=state.value, num_failures=failures, queued_at=T0 if queued else None)
    now = after(seconds)
    said: list[UploadStateChanged | None] = []
    match next_step(upload, now, POLICY):
        case Step.READ:
            said.append(lifecycle.waiting(upload, "why", now, POLICY))
            said.append(lifecycle.changed(upload, S.PROCESSING, "r"))
            said.append(lifecycle.changed(upload, S.FAILED, lifecycle.NO_LSIF))
            said.append(lifecycle.changed(upload, S.DELETED, lifecycle.UNKNOWN_REPOSITORY))
        case Step.RECOVER:
            said.append(lifecycle.after_fault(upload, "c", "m", now, POLICY))
        case Step.LEAVE:
            said.append(lifecycle.changed(upload, S.DELETING, "r"))
        case Step.END | Step.EXPIRE:
            said.append(lifecycle.changed(upload, S.DELETED, "r"))
        case Step.PUBLISH | None:
            pass
    for change in said:
        if change is not None:
            assert change.from_state == state
            assert change.to_state in MAY_FOLLOW[state]


def test_two_that_answer_the_same_change_say_the_same_and_another_change_something_else() -> None:
    upload = One(state="processing")
    change = lifecycle.changed(upload, S.COMPLETED, "3 documents were read")
    again = lifecycle.changed(upload, S.COMPLETED, "otherwise said")
    assert lifecycle.change_id(upload, change) == lifecycle.change_id(upload, again)
    later = msgspec.structs.replace(upload, state_position="millstream.uploads/0@2")
    assert lifecycle.change_id(later, change) != lifecycle.change_id(upload, change)
