"""Events on ``millstream.results``, keyed by repository."""

from typing import Annotated, Final

import msgspec

from schemas.cells import check_frames, check_series_result
from schemas.grid import TimeUnit
from schemas.ids import MAX_ID
from schemas.insights.events import IntervalValue, SeriesId
from schemas.limits import (
    MAX_MESSAGE_BYTES,
    MAX_REQUEST_ID_BYTES,
    Code,
    Message,
    RequestId,
    check_bytes,
)
from schemas.recordings.events import IndexRange
from schemas.registry import Audience, Part, PartNumber, Payload, SafeId, event
from schemas.topics import Topic

Attempt = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
"""A number of results: a safe integer, so that no database and no JSON reader has to round it."""
_COMMIT_PATTERN: Final = r"^([0-9a-f]{40}|[0-9a-f]{64})?$(?!\n)"
CommitOrEmpty = Annotated[str, msgspec.Meta(pattern=_COMMIT_PATTERN)]
"""A full git object id, or nothing where no commit was made yet."""
CommitText = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _COMMIT_PATTERN})]
"""The same where there are many: readers check the whole list at once (``schemas.cells``)."""
_ON = (Topic.RESULTS,)


class IncompleteCell(Part, frozen=True, kw_only=True):
    """A cell whose value is a lower bound; ``reason`` is a code such as ``missing-object`` or ``shallow``."""

    index: int
    value: Count
    reason: Code
    commit: CommitOrEmpty | None = None


class SeriesResult(Part, frozen=True, kw_only=True):
    """What one series counts in one repository.

    ``covered`` are the frames counted completely. ``indexes``, ``values`` and ``commits`` are parallel and
    hold the nonzero ones only: a covered frame without an entry is 0. ``captures``, when given, is parallel
    too and holds the captured value of each entry. Incomplete frames stand in ``incomplete`` alone.
    """

    series_id: SeriesId
    unit: TimeUnit
    value: IntervalValue
    covered: list[IndexRange]
    indexes: list[int] = []
    values: list[Count] = []
    commits: list[CommitText] = []
    captures: list[str] | None = None
    incomplete: list[IncompleteCell] = []

    def __post_init__(self) -> None:
        check_series_result(self)


class CountingStatistics(Part, frozen=True, kw_only=True):
    """What the pass over the repository cost; shared by all its series."""

    files: Count = 0
    blobs: Count = 0
    size_bytes: Count = 0
    duration_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    skipped: dict[Code, Count] = {}


@event(
    "millstream.search.completed",
    topics=_ON,
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
)
class SearchCompleted(Payload, frozen=True, kw_only=True):
    """A recording request was counted. ``files`` counts file instances over all frames, ``blobs`` distinct ones."""

    request_id: RequestId
    repository_id: SafeId
    insight_id: SafeId
    attempt: Attempt
    matcher_version: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    engine: Code
    series: list[SeriesResult]
    statistics: CountingStatistics = CountingStatistics()
    split: PartNumber = 1

    def __post_init__(self) -> None:
        check_bytes("request_id", self.request_id, MAX_REQUEST_ID_BYTES)


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
