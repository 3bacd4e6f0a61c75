"""Version 1 of ``search.completed``, as it was published: read through ``upcasters``, never written any more.

The classes bear the names of then, since the committed JSON Schema names them.
"""

from typing import Annotated

import msgspec

from schemas.cells import check_commits, check_parallel, check_series_result
from schemas.grid import TimeUnit
from schemas.insights.events import IntervalValue, SeriesId
from schemas.limits import MAX_REQUEST_ID_BYTES, Code, RequestId, check_bytes
from schemas.recordings.events import IndexRange
from schemas.registry import Audience, Part, PartNumber, Payload, SafeId, event
from schemas.results.events import Attempt, CommitOrEmpty, CommitText, Count, CountingStatistics
from schemas.results.upcasters import search_completed_1_to_2
from schemas.topics import Topic


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
        if self.commits:
            check_parallel("commits", len(self.commits), self)
            check_commits(self.commits)


@event(
    "millstream.search.completed",
    version=1,
    topics=(Topic.RESULTS,),
    key=lambda data: data.repository_id,
    audience=Audience.INTERNAL,
    upcaster=search_completed_1_to_2,
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
