"""What happened for one insight, told by the topics alone: created, asked for, counted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.errors import ReadFailed
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event, Position, Record
from schemas.events import (
    CountingStatistics,
    InsightCreated,
    RecordingRequested,
    SearchCompleted,
    SearchFailed,
)
from schemas.topics import Topic

TOPICS: Final = (Topic.INSIGHTS, Topic.RECORDINGS, Topic.RESULTS)
_BATCH: Final = 5_000
_POLL_S: Final = 2.0
_SILENT_POLLS: Final = 15

Request = tuple[int, str]
"""(repository id, request id)."""


@dataclass(slots=True)
class Chain:
    """The events of one insight. Repeats on the log count once; times are the broker's, in milliseconds since 1970."""

    created: Position | None = None
    created_ms: int = 0
    requests: set[Request] = field(default_factory=set)
    results: dict[Request, CountingStatistics] = field(default_factory=dict)
    """By request: what its first result says about the pass."""
    failures: set[Request] = field(default_factory=set)
    """Requests that failed for good."""
    last_result_ms: int = 0
    counted: set[tuple[str, int, int]] = field(default_factory=set)
    """Cells that were counted for this insight: (series id, repository id, index of the frame)."""

    @property
    def files(self) -> int:
        """File instances over all frames."""
        return sum(statistics.files for statistics in self.results.values())

    @property
    def blobs(self) -> int:
        """Distinct blobs that were read."""
        return sum(statistics.blobs for statistics in self.results.values())

    @property
    def counting_s(self) -> float:
        """Seconds of all passes together; several may have run at a time."""
        return sum(statistics.duration_s for statistics in self.results.values())

    @property
    def skipped(self) -> dict[str, int]:
        """File instances that are not searched, by reason."""
        total: dict[str, int] = {}
        for statistics in self.results.values():
            for reason, number in statistics.skipped.items():
                total[reason] = total.get(reason, 0) + number
        return total


def tally(records: Iterable[Record], insight_id: int) -> Chain:
    """Fold records, in log order within each partition, into the chain of one insight. Pure.

    Requests of the present, which a push asks for and no frame of the past, are another chain.
    """
    chain = Chain()
    of_the_present: set[Request] = set()
    results_ms: dict[Request, int] = {}
    for record in records:
        event = decode(record)
        if not isinstance(event, Event):
            continue
        match event.data:
            case InsightCreated(insight_id=owner) if owner == insight_id and chain.created is None:
                chain.created, chain.created_ms = record.position, record.timestamp_ms
            case RecordingRequested(request=request) if request.insight_id == insight_id:
                asked = (request.repository_id, request.request_id)
                (chain.requests if any(one.frames for one in request.series) else of_the_present).add(asked)
            case SearchCompleted(insight_id=owner) as result if owner == insight_id:
                answered = (result.repository_id, result.request_id)
                chain.results.setdefault(answered, result.statistics)
                chain.counted |= _cells(result)
                results_ms[answered] = max(results_ms.get(answered, 0), record.timestamp_ms)
            case SearchFailed(insight_id=owner, final=True) as failure if owner == insight_id:
                chain.failures.add((failure.repository_id, failure.request_id))
    for other in of_the_present:
        chain.results.pop(other, None)
        results_ms.pop(other, None)
    chain.failures -= of_the_present
    chain.last_result_ms = max(results_ms.values(), default=0)
    return chain


def _cells(result: SearchCompleted) -> set[tuple[str, int, int]]:
    return {
        (series.series_id, result.repository_id, index)
        for series in result.series
        for index in (
            *(index for first, end in series.covered for index in range(first, end)),
            *(cell.index for cell in series.incomplete),
        )
    }


def read_chain(settings: Settings, insight_id: int) -> Chain:
    """The chain as it stands on the log now. Raises KafkaError, with the remedy."""
    with KafkaAdmin(settings, client_id="millstream-demo") as admin:
        ends = {
            (str(topic), partition): (marks.start, marks.end)
            for topic in TOPICS
            for partition, marks in admin.watermarks(topic).items()
        }
    with LogReader(settings, client_id="millstream-demo") as reader:
        return tally(until(reader, ends), insight_id)


def until(reader: LogReader, ends: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[Record]:
    """Every record between each place's two offsets, the second left out. Raises ReadFailed."""
    open_places = {place: end for place, (start, end) in ends.items() if end > start}
    reader.assign({place: ends[place][0] for place in open_places})
    silent = 0
    while open_places:
        records: Sequence[Record] = reader.poll(_BATCH, _POLL_S)
        silent = 0 if records else silent + 1
        if silent > _SILENT_POLLS:
            raise ReadFailed(
                f"nothing came from {', '.join(sorted(f'{topic}/{number}' for topic, number in open_places))}",
                remedy="see the broker's log (millstream logs kafka)",
            )
        for record in records:
            place = (record.topic, record.partition)
            end = open_places.get(place)
            if end is None or record.offset >= end:
                continue
            yield record
            if record.offset == end - 1:
                del open_places[place]
