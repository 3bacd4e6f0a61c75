"""Events on ``millstream.results``, keyed by repository."""

from typing import Annotated, Final

import msgspec

from schemas.cells import check_commits, check_frames, check_parallel, check_refs, check_series_result
from schemas.grid import TimeUnit
from schemas.ids import MAX_ID
from schemas.insights.events import IntervalValue, SeriesId, SeriesIdText, check_series_id
from schemas.limits import (
    MAX_MESSAGE_BYTES,
    MAX_REQUEST_ID_BYTES,
    Code,
    Digest,
    FieldError,
    Message,
    RequestId,
    check_bytes,
)
from schemas.recordings.events import IndexRange
from schemas.registry import Audience, Offset, Part, PartNumber, Payload, SafeId, event
from schemas.repositories.events import Sha
from schemas.topics import Topic

Attempt = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
"""A number of results: a safe integer, so that no database and no JSON reader has to round it."""
_COMMIT_PATTERN: Final = r"^([0-9a-f]{40}|[0-9a-f]{64})?$(?!\n)"
CommitOrEmpty = Annotated[str, msgspec.Meta(pattern=_COMMIT_PATTERN)]
"""A full git object id, or nothing where no commit was made yet."""
CommitText = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _COMMIT_PATTERN})]
"""The same where there are many: readers check the whole list at once (``schemas.cells``)."""
CommitRef = Annotated[int, msgspec.Meta(ge=0)]
"""The place of a commit in the event's table, from 0."""
_ON = (Topic.RESULTS,)


class IncompleteCell(Part, frozen=True, kw_only=True):
    """A cell whose value is a lower bound; ``reason`` is a code such as ``missing-object`` or ``shallow``."""

    index: int
    value: Count
    reason: Code
    commit_ref: CommitRef | None = None


class SnapshotCount(Part, frozen=True, kw_only=True):
    """What one series counts in the newest state of a repository: always the whole, never a difference.

    ``incomplete`` is the code of the reason why ``value`` is a lower bound.
    """

    value: Count
    captures: dict[str, Count] | None = None
    incomplete: Code | None = None


class SeriesResult(Part, frozen=True, kw_only=True):
    """What one series counts in one repository.

    ``covered`` are the frames counted completely. ``indexes``, ``values`` and ``commit_refs`` are parallel and
    hold the nonzero ones only: a covered frame without an entry is 0. ``captures``, when given, is parallel
    too and holds the captured value of each entry. Incomplete frames stand in ``incomplete`` alone.
    ``commit_refs`` are places in the event's ``commits``, from 0; or it is empty.
    """

    series_id: SeriesIdText
    unit: TimeUnit
    value: IntervalValue
    covered: list[IndexRange]
    indexes: list[int] = []
    values: list[Count] = []
    commit_refs: list[CommitRef] = []
    captures: list[str] | None = None
    incomplete: list[IncompleteCell] = []
    snapshot: SnapshotCount | None = None

    def __post_init__(self) -> None:
        check_series_id(self.series_id)
        check_series_result(self)
        if self.commit_refs:
            check_parallel("commit_refs", len(self.commit_refs), self)


class SnapshotOutcome(Part, frozen=True, kw_only=True):
    """Which state the series' snapshots were counted in: ``commit`` (null: the repository is empty), announced by
    the push at ``pushed_offset`` of the repository's partition.

    ``limits`` names the worker's limits of what is searched (sizes and exceptions): only a count under the same ones
    can follow from this one by a difference.
    """

    commit: Sha | None
    pushed_offset: Offset
    limits: Digest | None = None


class CountingStatistics(Part, frozen=True, kw_only=True):
    """What the pass over the repository cost; shared by all its series."""

    files: Count = 0
    blobs: Count = 0
    size_bytes: Count = 0
    duration_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    skipped: dict[Code, Count] = {}


@event(
    "millstream.search.completed",
    version=2,
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class SearchCompleted(Payload, frozen=True, kw_only=True):
    """A recording request was counted; ``commits`` are the distinct ones that the series refer to."""

    request_id: RequestId
    repository_id: SafeId
    insight_id: SafeId
    attempt: Attempt
    matcher_version: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    engine: Code
    series: list[SeriesResult]
    commits: list[CommitText] = []
    snapshot: SnapshotOutcome | None = None
    statistics: CountingStatistics = CountingStatistics()
    split: PartNumber = 1

    def __post_init__(self) -> None:
        check_bytes("request_id", self.request_id, MAX_REQUEST_ID_BYTES)
        if self.commits:
            check_commits(self.commits)
        check_refs(len(self.commits), self.series)
        if self.snapshot is None:
            for one in self.series:
                if one.snapshot is not None:
                    raise FieldError("snapshot", "has to be given, since a series has one")


class FailedSeries(Part, frozen=True, kw_only=True):
    """Frames of a series that could not be counted."""

    series_id: SeriesId
    unit: TimeUnit
    value: IntervalValue
    frames: list[IndexRange]

    def __post_init__(self) -> None:
        check_frames(self.unit, self.value, self.frames)


@event(
    "millstream.search.failed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class SearchFailed(Payload, frozen=True, kw_only=True):
    """A recording request could not be counted; ``reason`` is a code, ``message`` is for people.

    ``final`` says that no further attempt will be made: the cells are no longer open.
    """

    request_id: RequestId
    repository_id: SafeId
    insight_id: SafeId
    attempt: Attempt
    reason: Code
    message: Message
    final: bool
    series: list[FailedSeries]

    def __post_init__(self) -> None:
        check_bytes("request_id", self.request_id, MAX_REQUEST_ID_BYTES)
        check_bytes("message", self.message, MAX_MESSAGE_BYTES)
