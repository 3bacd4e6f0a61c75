"""The chain of one insight, folded from encoded events."""

from datetime import UTC, datetime

import msgspec

from api.demo.chain import Chain, tally
from schemas.codec import encode, new_event
from schemas.envelope import Position, Record
from schemas.events import (
    CountingStatistics,
    FailedSeries,
    IncompleteCell,
    InsightCreated,
    Lane,
    RecordingRequest,
    RecordingRequested,
    RequestedSeries,
    SearchCompleted,
    SearchFailed,
    SeriesDefinition,
    SeriesResult,
)
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id
from schemas.registry import Payload

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SERIES = series_id(SeriesIdentity(query="x"))


def record(payload: Payload, offset: int, *, partition: int = 0) -> Record:
    event = new_event(payload, source="//test", time=NOW)
    key, value, headers = encode(event)
    return Record(event.type.topics[0], partition, offset, 1_000 + offset, key, value, headers)


def created(insight_id: int) -> InsightCreated:
    series = SeriesDefinition(series_id=SERIES, label="x", query="x", unit=TimeUnit.MONTH, value=1)
    return InsightCreated(insight_id=insight_id, title="x", creator="me", created_at=NOW, series=[series])


def requested(insight_id: int, request_id: str) -> RecordingRequested:
    series = RequestedSeries(series_id=SERIES, query="x", unit=TimeUnit.MONTH, value=1, frames=[(600, 612)])
    return RecordingRequested(
        request=RecordingRequest(
            request_id=request_id,
            repository_id=1,
            insight_id=insight_id,
            creator="me",
            lane=Lane.BACKFILL,
            series=[series],
        )
    )


def completed(
    insight_id: int, request_id: str, *, attempt: int = 1, files: int = 10, repository_id: int = 1
) -> SearchCompleted:
    return SearchCompleted(
        request_id=request_id,
        repository_id=repository_id,
        insight_id=insight_id,
        attempt=attempt,
        matcher_version=1,
        engine="git",
        series=[],
        statistics=CountingStatistics(files=files, blobs=4, duration_s=0.5, skipped={"binary": 2}),
    )


def failed(insight_id: int, request_id: str, *, final: bool) -> SearchFailed:
    series = FailedSeries(series_id=SERIES, unit=TimeUnit.MONTH, value=1, frames=[(600, 612)])
    return SearchFailed(
        request_id=request_id,
        repository_id=1,
        insight_id=insight_id,
        attempt=1,
        reason="timeout",
        message="too slow",
        final=final,
        series=[series],
    )


def test_chain_counts_what_belongs_to_the_insight() -> None:
    chain = tally(
        [
            record(created(8), 0),
            record(created(7), 1),
            record(requested(7, "a"), 0),
            record(requested(7, "b"), 1),
            record(requested(8, "c"), 2),
            record(completed(7, "a"), 3),
            record(completed(8, "c"), 4),
            record(completed(7, "b", files=20), 5),
        ],
        7,
    )
    assert chain.created == Position("millstream.insights", 0, 1)
    assert chain.created_ms == 1_001
    assert chain.requests == {(1, "a"), (1, "b")}
    assert set(chain.results) == {(1, "a"), (1, "b")}
    assert (chain.files, chain.blobs, chain.counting_s) == (30, 8, 1.0)
    assert chain.skipped == {"binary": 4}
    assert chain.last_result_ms == 1_005


def test_repeats_on_the_log_count_once() -> None:
    chain = tally(
        [
            record(created(7), 0),
            record(created(7), 1),
            record(requested(7, "a"), 0),
            record(requested(7, "a"), 1),
            record(completed(7, "a"), 0),
            record(completed(7, "a", attempt=2, files=99), 1),
        ],
        7,
    )
    assert chain.created == Position("millstream.insights", 0, 0)
    assert (len(chain.requests), len(chain.results), chain.files) == (1, 1, 10)


def test_counted_cells_are_those_of_this_insight_once() -> None:
    def result(insight_id: int, first: int, end: int) -> SearchCompleted:
        part = SeriesResult(
            series_id=SERIES,
            unit=TimeUnit.MONTH,
            value=1,
            covered=[(first, end)],
            incomplete=[IncompleteCell(index=end, value=1, reason="missing-object")],
        )
        return msgspec.structs.replace(completed(insight_id, f"r{first}"), series=[part])

    chain = tally(
        [record(result(7, 600, 603), 0), record(result(7, 602, 603), 1), record(result(8, 610, 611), 2)], 7
    )
    assert chain.counted == {(SERIES, 1, index) for index in (600, 601, 602, 603)}


def test_one_request_id_in_two_repositories_is_two_requests() -> None:
    chain = tally(
        [record(completed(7, "a"), 0), record(completed(7, "a", repository_id=2, files=5), 0, partition=1)], 7
    )
    assert set(chain.results) == {(1, "a"), (2, "a")}
    assert chain.files == 15


def test_only_final_failures_are_failures_and_bad_records_are_passed_over() -> None:
    broken = Record("millstream.results", 0, 9, 5, b"1", b"{", (("ce_type", b"x"),))
    chain = tally([record(failed(7, "a", final=False), 0), broken, record(failed(7, "b", final=True), 1)], 7)
    assert chain.failures == {(1, "b")}
    assert tally([], 7) == Chain()


def test_what_a_push_asks_for_is_another_chain() -> None:
    asked = requested(7, "now")
    (series,) = asked.request.series
    of_the_present = msgspec.structs.replace(
        asked,
        request=msgspec.structs.replace(
            asked.request, lane=Lane.SCHEDULED, series=[msgspec.structs.replace(series, frames=[])]
        ),
    )
    records = [
        record(completed(7, "now", files=99), 9),
        record(requested(7, "a"), 0),
        record(of_the_present, 1),
        record(failed(7, "now", final=True), 2),
        record(completed(7, "a"), 3),
    ]
    chain = tally(records, 7)
    assert chain.requests == set(chain.results) == {(1, "a")}
    assert (chain.files, chain.failures, chain.last_result_ms) == (10, set(), 1_003)
