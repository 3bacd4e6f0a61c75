"""Events on ``millstream.recordings`` (asked for) and ``millstream.work.*`` (being done), keyed by repository."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from schemas.cells import check_frames
from schemas.grid import TimeUnit
from schemas.ids import MAX_ID
from schemas.insights.events import IntervalValue, PatternType, SeriesId, SeriesKind
from schemas.limits import (
    MAX_BRANCH_BYTES,
    MAX_REQUEST_ID_BYTES,
    Branch,
    CloneUrl,
    Creator,
    Digest,
    FieldError,
    Path,
    Query,
    RequestId,
    check_bytes,
    check_clone_url,
    check_instant,
    check_path,
)
from schemas.registry import Audience, Instant, Offset, Part, PartNumber, Payload, SafeId, event
from schemas.repositories.events import Sha
from schemas.topics import Topic

IndexRange = tuple[int, int]
"""A half-open range [first, end) of grid indexes."""

MAX_REQUEST_BYTES: Final = 260 * 1024
"""Of the event that asks: 256 KiB of series and what stands around them. As dispatched, with all defaults written
and a location added, it is below what the log takes."""
MAX_REQUEST_SERIES: Final = 1_000
MAX_REQUEST_CELLS: Final = 100_000
"""Of all series of a request together: twice what the largest insight asks of a repository."""


class Lane(StrEnum):
    """Which queue a request waits in. Interactive work has a handler of its own."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    BACKFILL = "backfill"


class RequestedSeries(Part, frozen=True, kw_only=True):
    """What to count for one series: its query at its frames."""

    series_id: SeriesId
    query: Query
    unit: TimeUnit
    value: IntervalValue
    frames: list[IndexRange]
    kind: SeriesKind = SeriesKind.SEARCH
    pattern_type: PatternType = PatternType.LITERAL
    snapshot: bool = False
    """Count the newest state too, at the request's ``snapshot``."""
    base_value: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] | None = None
    """The complete count at the snapshot's ``base_commit``, where it is known."""

    def __post_init__(self) -> None:
        check_frames(self.unit, self.value, self.frames)


class SnapshotTarget(Part, frozen=True, kw_only=True):
    """The newest state of a repository, as the push at ``pushed_offset`` of its partition announced it.

    ``commit`` is null for an empty repository. Where a series has a ``base_value``, only the difference between
    the trees of ``base_commit`` and ``commit`` is counted, by a worker whose limits are those of ``base_limits``:
    under other limits, or where it is null, the base is no base. Nobody is believed in a base: the dispatcher
    writes what it knows over it.
    """

    commit: Sha | None
    pushed_offset: Offset
    base_commit: Sha | None = None
    base_limits: Digest | None = None


class RecordingRequest(Part, frozen=True, kw_only=True):
    """One repository, all the series due and their frames: one pass serves them all.

    ``request_id`` is the id of the ``recording.requested`` event. ``priority`` is ascending (lower first);
    ``cost`` is an estimate in file instances.
    """

    request_id: RequestId
    repository_id: SafeId
    insight_id: SafeId
    creator: Creator
    lane: Lane
    series: Annotated[list[RequestedSeries], msgspec.Meta(min_length=1, max_length=MAX_REQUEST_SERIES)]
    priority: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] = 100
    cost: Annotated[float, msgspec.Meta(ge=0, le=1e18)] = 1.0
    split: PartNumber = 1
    of: PartNumber = 1
    snapshot: SnapshotTarget | None = None

    def __post_init__(self) -> None:
        if self.snapshot is None and any(one.snapshot for one in self.series):
            raise FieldError("snapshot", "has to be given, since a series asks for one")
        if self.split > self.of:
            raise ValueError(f"split {self.split} of {self.of} cannot be")
        check_bytes("request_id", self.request_id, MAX_REQUEST_ID_BYTES)
        cells = sum(end - start for one in self.series for start, end in one.frames)
        if cells > MAX_REQUEST_CELLS:
            raise FieldError(
                "series", f"{cells:,} cells are more than the {MAX_REQUEST_CELLS:,} that a request may have"
            )


@event(
    "millstream.recording.requested",
    topics=(Topic.RECORDINGS,),
    key=lambda data: data.request.repository_id,
    audience=Audience.EXTERNAL,
    max_bytes=MAX_REQUEST_BYTES,
)
class RecordingRequested(Payload, frozen=True, kw_only=True):
    """Somebody asked that the results of these series be counted in this repository at these frames."""

    request: RecordingRequest


class RepositoryLocation(Part, frozen=True, kw_only=True):
    """Where a handler finds the clone: ``path`` in place, else the mirror of ``clone_url``.

    ``default_branch`` is null where HEAD decides.
    """

    path: Path | None = None
    clone_url: CloneUrl | None = None
    default_branch: Branch | None = None

    def __post_init__(self) -> None:
        check_path("path", self.path)
        check_clone_url("clone_url", self.clone_url)
        check_bytes("default_branch", self.default_branch, MAX_BRANCH_BYTES)


class DispatchedRequest(Part, frozen=True, kw_only=True):
    """A request on its way to a handler, with all that it needs; ``attempt`` counts from 1."""

    request: RecordingRequest
    attempt: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    location: RepositoryLocation = RepositoryLocation()
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    """Longest pass over the repository; null: the worker's own limit."""


@event(
    "millstream.recording.dispatched",
    topics=(Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND),
    key=lambda data: data.requests[0].request.repository_id,
    audience=Audience.INTERNAL,
)
class RecordingDispatched(Payload, frozen=True, kw_only=True):
    """These requests are to be done now, until ``deadline``. All repositories lie on one partition."""

    requests: Annotated[list[DispatchedRequest], msgspec.Meta(min_length=1)]
    deadline: Instant

    def __post_init__(self) -> None:
        check_instant("deadline", self.deadline)
