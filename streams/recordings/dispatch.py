"""What is dispatched next, and in which events. Pure: time, jobs and locations come in, events go out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from schemas.events import DispatchedRequest, Lane, RecordingDispatched, RecordingRequest
from schemas.ids import derived_event_id
from schemas.topics import Topic

MAX_EVENT_REQUESTS: Final = 32
MAX_EVENT_BYTES: Final = 256 * 1024
SMALL_BYTES: Final = 16 * 1024
"""A request above this goes alone: events are carried together to save records, not to make large ones."""
MAX_ATTEMPTS: Final = 3
FIRST_PAUSE_S: Final = 1.0
PAUSE_FACTOR: Final = 5.0

WORK_TOPICS: Final = {
    Lane.INTERACTIVE: Topic.WORK_INTERACTIVE,
    Lane.SCHEDULED: Topic.WORK_BACKGROUND,
    Lane.BACKFILL: Topic.WORK_BACKGROUND,
}


RequestKey: TypeAlias = tuple[int, str]
"""(repository id, request id): another repository's request may bear the same id."""


def key_of(request: RecordingRequest) -> RequestKey:
    """What names ``request``."""
    return request.repository_id, request.request_id


class Outstanding(msgspec.Struct, frozen=True):
    """A request that was dispatched and has no outcome as far as the jobs projection shows."""

    lane: Lane
    attempt: int


class Outcome(msgspec.Struct, frozen=True):
    """What the jobs projection shows of a request: its newest dispatched and failed attempts, and its end."""

    ended: bool
    dispatched_attempt: int
    failed_attempt: int


class Dispatch(msgspec.Struct, frozen=True):
    """One event to publish."""

    topic: Topic
    payload: RecordingDispatched

    @property
    def event_id(self) -> str:
        """Follows from the requests and their attempts, so that the same dispatch twice is one event."""
        parts = [(*key_of(one.request), one.attempt) for one in self.payload.requests]
        return derived_event_id("recording.dispatched", *[part for named in parts for part in named])


class Reckoning(msgspec.Struct, frozen=True):
    """What became of the outstanding requests: ``left`` still go on, ``visible`` of them are shown as dispatched,
    ``errored`` ended in a failure that is not the last one (attempt by request)."""

    left: dict[RequestKey, Outstanding]
    visible: set[RequestKey]
    errored: dict[RequestKey, int]


def reckon(outstanding: Mapping[RequestKey, Outstanding], shown: Mapping[RequestKey, Outcome]) -> Reckoning:
    """Compare memory with the projection. A request not yet shown as dispatched is kept: it was dispatched from here."""
    left: dict[RequestKey, Outstanding] = {}
    visible: set[RequestKey] = set()
    errored: dict[RequestKey, int] = {}
    for key, one in outstanding.items():
        outcome = shown.get(key)
        if outcome is None:
            left[key] = one
        elif outcome.ended:
            continue
        elif outcome.failed_attempt >= one.attempt:
            errored[key] = one.attempt
        else:
            left[key] = one
            if outcome.dispatched_attempt >= one.attempt:
                visible.add(key)
    return Reckoning(left, visible, errored)


def pause_after_s(attempt: int) -> float:
    """How long a request waits after a failed attempt before it is dispatched again."""
    return FIRST_PAUSE_S * PAUSE_FACTOR ** (attempt - 1)


def in_order(waiting: Sequence[DispatchedRequest]) -> Sequence[DispatchedRequest]:
    """The order of dispatch among requests of one lane: as read, by priority and age.

    The place where a fair share per creator is taken.
    """
    return waiting


def dispatches(
    requests: Iterable[DispatchedRequest], partition_of: Mapping[int, int], deadline: datetime
) -> list[Dispatch]:
    """The events that carry ``requests``: small ones of one partition and topic together, up to a limit.

    ``partition_of`` gives each repository's partition.
    """
    open_groups: dict[tuple[Topic, int], tuple[list[DispatchedRequest], int]] = {}
    found: list[tuple[Topic, list[DispatchedRequest]]] = []
    for one in requests:
        topic = WORK_TOPICS[one.request.lane]
        size_bytes = request_size_bytes(one.request)
        if size_bytes > SMALL_BYTES:
            found.append((topic, [one]))
            continue
        place = (topic, partition_of[one.request.repository_id])
        group, group_bytes = open_groups.get(place, ([], 0))
        if not group or len(group) >= MAX_EVENT_REQUESTS or group_bytes + size_bytes > MAX_EVENT_BYTES:
            group, group_bytes = [], 0
            found.append((topic, group))
        group.append(one)
        open_groups[place] = (group, group_bytes + size_bytes)
    return [Dispatch(topic, RecordingDispatched(requests=group, deadline=deadline)) for topic, group in found]


def request_size_bytes(request: RecordingRequest) -> int:
    """Bytes of the request as it stands in an event."""
    return len(msgspec.json.encode(request))
