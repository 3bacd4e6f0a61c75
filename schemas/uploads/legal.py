"""What may happen to an upload, and when: the state machine of its life.

A change says where it comes from, and is legal only from there: so of two that act on the same state, one is too late.
Publishing needs a completed upload; a second time it is accepted and changes nothing.
"""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.judgement import ABSENT, AcceptedIds, AggregateState, Judgement, ReasonCode, Rejected, judge
from schemas.registry import Payload
from schemas.uploads.events import UploadPublished, UploadState, UploadStateChanged

_S: Final = UploadState
MAY_FOLLOW: Final[Mapping[UploadState | None, frozenset[UploadState]]] = {
    None: frozenset((_S.UPLOADING, _S.QUEUED)),
    _S.UPLOADING: frozenset((_S.QUEUED, _S.FAILED, _S.DELETED)),
    # Queued again: it waits for its commit, and says so once.
    _S.QUEUED: frozenset((_S.QUEUED, _S.PROCESSING, _S.FAILED, _S.DELETED)),
    _S.PROCESSING: frozenset((_S.QUEUED, _S.COMPLETED, _S.ERRORED, _S.FAILED, _S.DELETED)),
    _S.ERRORED: frozenset((_S.QUEUED, _S.PROCESSING, _S.FAILED, _S.DELETED)),
    _S.FAILED: frozenset((_S.DELETED,)),
    _S.COMPLETED: frozenset((_S.DELETING,)),
    _S.DELETING: frozenset((_S.DELETED,)),
    _S.DELETED: frozenset(),
}
"""The states that may follow each."""
GUARDED: Final[frozenset[type[Payload]]] = frozenset((UploadStateChanged, UploadPublished))
"""Every guarded type."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge a guarded event of one upload."""
    return judge(state, event, accepted_ids, _next_life)


def _next_life(lifecycle: str, data: Payload) -> str | Rejected:
    if isinstance(data, UploadPublished):
        if lifecycle == _S.COMPLETED:
            return lifecycle
        return _refused(lifecycle, f"only a completed upload is published, this one {_is(lifecycle)}")
    if not isinstance(data, UploadStateChanged):
        raise TypeError(f"{type(data).__name__} is no guarded event of an upload")
    if lifecycle != (data.from_state or ABSENT):
        stated = "does not exist" if data.from_state is None else f"is {data.from_state.value}"
        return _refused(lifecycle, f"the change holds for an upload that {stated}, this one {_is(lifecycle)}")
    if data.to_state not in MAY_FOLLOW[data.from_state]:
        return Rejected(
            ReasonCode.ILLEGAL, f"an upload that {_is(lifecycle)} cannot become {data.to_state.value}"
        )
    return data.to_state.value


def _is(lifecycle: str) -> str:
    return f"is {lifecycle}" if lifecycle else "does not exist"


def _refused(lifecycle: str, reason: str) -> Rejected:
    code = {ABSENT: ReasonCode.UNKNOWN, _S.DELETED.value: ReasonCode.DELETED}.get(
        lifecycle, ReasonCode.ILLEGAL
    )
    return Rejected(code, reason)
