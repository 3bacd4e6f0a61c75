"""What is dispatched next, and in which events. Pure: time, jobs and locations come in, events go out."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import DispatchedRequest, Lane, RecordingDispatched, RecordingRequest
from schemas.ids import derived_event_id
from schemas.recordings.events import MAX_REQUEST_CELLS
from schemas.topics import Topic

MAX_EVENT_REQUESTS: Final = 32
MAX_EVENT_BYTES: Final = 256 * 1024
MAX_EVENT_CELLS: Final = MAX_REQUEST_CELLS
"""Of all requests in an event together: what a single one may have."""
MAX_DISPATCHED_BYTES: Final = 880_000
"""Of one request with its location: the event and its headers around it fit into what the log takes."""
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

    def event(self, source: str, now: datetime) -> Event:
        """The event. It names the first of its requests as its cause: that request's event bears the request's id."""
        event = new_event(self.payload, source=source, time=now, event_id=self.event_id)
        return msgspec.structs.replace(event, causation_id=self.payload.requests[0].request.request_id)


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


def dispatches(
    requests: Iterable[DispatchedRequest], partition_of: Mapping[int, int], deadline: datetime
) -> list[Dispatch]:
    """The events that carry ``requests``: small ones of one partition and topic together, up to limits of bytes and cells.

    ``partition_of`` gives each repository's partition.
    """
    open_groups: dict[tuple[Topic, int], _OpenEvent] = {}
    found: list[tuple[Topic, list[DispatchedRequest]]] = []
    for one in requests:
        topic = WORK_TOPICS[one.request.lane]
        size_bytes, cells = dispatched_size_bytes(one), cells_of(one.request)
        if size_bytes > SMALL_BYTES:
            found.append((topic, [one]))
            continue
        place = (topic, partition_of[one.request.repository_id])
        group = open_groups.get(place)
        if group is None or not group.takes(size_bytes, cells):
            group = open_groups[place] = _OpenEvent()
            found.append((topic, group.requests))
        group.add(one, size_bytes, cells)
    return [Dispatch(topic, RecordingDispatched(requests=group, deadline=deadline)) for topic, group in found]


def cells_of(request: RecordingRequest) -> int:
    """Frames of all its series together."""
    return sum(end - start for series in request.series for start, end in series.frames)


def dispatched_size_bytes(one: DispatchedRequest) -> int:
    """Bytes as it stands in an event, its location included."""
    return len(msgspec.json.encode(one))


def is_too_large(one: DispatchedRequest) -> bool:
    """Whether no event can carry it: it can never be dispatched."""
    return dispatched_size_bytes(one) > MAX_DISPATCHED_BYTES or cells_of(one.request) > MAX_EVENT_CELLS


class _OpenEvent(msgspec.Struct):
    """Requests that share an event so far."""

    requests: list[DispatchedRequest] = []
    size_bytes: int = 0
    cells: int = 0

    def takes(self, size_bytes: int, cells: int) -> bool:
        return (
            len(self.requests) < MAX_EVENT_REQUESTS
            and self.size_bytes + size_bytes <= MAX_EVENT_BYTES
            and self.cells + cells <= MAX_EVENT_CELLS
        )

    def add(self, one: DispatchedRequest, size_bytes: int, cells: int) -> None:
        self.requests.append(one)
        self.size_bytes += size_bytes
        self.cells += cells
