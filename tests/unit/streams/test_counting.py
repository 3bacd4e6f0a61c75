"""From dispatched requests to engine queries, and from counts to results that fit the log."""

import msgspec
import pytest

from schemas.codec import MAX_RECORD_BYTES, decode, encode
from schemas.envelope import Event, Record
from schemas.events import SeriesKind, SnapshotCount, SnapshotOutcome, SnapshotTarget
from schemas.ids import derived_event_id
from streams.recordings import results
from streams.recordings.counting import (
    commits_of,
    count_request,
    failed,
    failed_id,
    limit_s,
    passes,
    refused,
    task_of,
)
from streams.recordings.results import completed, completed_id
from streams.search.engine import Cell, CountResult, SnapshotPoint
from tests.unit.streams.events import dispatched, event, request, requested

COMMIT = "a" * 40
LIMITS, COUNTED_UNDER = "0" * 15 + "1", "0" * 15 + "2"


def result(
    cells: dict[str, tuple[Cell, ...]], captures: dict[str, tuple[dict[str, int], ...]] | None = None
) -> CountResult:
    return CountResult(
        cells=cells,
        captures=captures or {},
        skipped={"binary": 3},
        files=100,
        blobs=10,
        size_bytes=1000,
        duration_s=0.5,
        matcher_version=1,
        limits=COUNTED_UNDER,
        engine="git",
    )


def test_queries_are_keyed_by_place_and_carry_the_instants_of_their_frames() -> None:
    task = task_of(dispatched(request(series=[requested("a", [(671, 672), (680, 682)]), requested("b")])))
    queries = count_request([task]).queries
    assert [(query.key, query.query, len(query.instants)) for query in queries] == [
        ("0:0", "a", 3),
        ("0:1", "b", 12),
    ]
    assert [instant.isoformat() for instant in queries[0].instants] == [
        "2025-12-01T00:00:00+00:00",
        "2026-09-01T00:00:00+00:00",
        "2026-10-01T00:00:00+00:00",
    ]


def test_zeros_are_covered_without_a_row_and_holes_stand_apart() -> None:
    task = task_of(dispatched(request(series=[requested("a", [(671, 675)])]), attempt=2))
    cells = (
        Cell(value=0),
        Cell(value=4, commit=COMMIT),
        Cell(value=2, complete=False, reason="missing-object", commit=COMMIT),
        Cell(value=0, commit=COMMIT),
    )
    [payload] = completed([task], result({"0:0": cells}))
    [series] = payload.series
    assert (series.covered, series.indexes, series.values, series.commit_refs) == (
        [(671, 673), (674, 675)],
        [672],
        [4],
        [0],
    )
    assert payload.commits == [COMMIT]
    assert [cell.commit_ref for cell in series.incomplete] == [0]
    assert [(cell.index, cell.value, cell.reason) for cell in series.incomplete] == [
        (673, 2, "missing-object")
    ]
    assert (payload.attempt, payload.matcher_version, payload.statistics.skipped) == (2, 1, {"binary": 3})
    assert completed_id(payload) == derived_event_id(
        "search.completed", payload.repository_id, payload.request_id, 2
    )


def test_one_pass_serves_several_requests_and_is_paid_for_once() -> None:
    tasks = [
        task_of(dispatched(request(insight_id=number, series=[requested("a", [(671, 672)])])))
        for number in (1, 2)
    ]
    assert passes(tasks) == [tasks]
    payloads = completed(
        tasks, result({"0:0": (Cell(value=1, commit=COMMIT),), "1:0": (Cell(value=2, commit=COMMIT),)})
    )
    assert [
        (payload.insight_id, payload.series[0].values, payload.statistics.files) for payload in payloads
    ] == [
        (1, [1], 100),
        (2, [2], 0),
    ]


def test_a_query_with_a_time_limit_does_not_limit_others() -> None:
    tasks = [
        task_of(dispatched(request(insight_id=1, series=[requested(query)])))
        for query in ("a", "b timeout:1s", "c")
    ]
    assert passes(tasks) == [[tasks[0], tasks[2]], [tasks[1]]]


def test_a_query_that_cannot_be_run_fails_for_good_and_alone() -> None:
    task = task_of(dispatched(request(series=[requested("good"), requested("author:me bad")])))
    assert [series.query for series in task.series] == ["good"]
    failure = refused(task)
    assert failure is not None
    assert (failure.final, failure.reason, len(failure.series)) == (True, "invalid-query", 1)
    assert "author" in failure.message
    assert failed_id(failure) != failed_id(failed(task, "unreadable", "x"))


def test_the_last_attempt_is_final() -> None:
    finals = [
        failed(task_of(dispatched(request(), attempt)), "unreadable", "no").final for attempt in (1, 2, 3)
    ]
    assert finals == [False, False, True]


def test_captured_values_are_cut_merged_and_parallel() -> None:
    task = task_of(
        dispatched(request(series=[requested("patternType:regexp v=(.*)", [(671, 673)], SeriesKind.CAPTURE)]))
    )
    long = "é" * 60
    captures = ({"2": 3, "1": 1, "gone": 0}, {long + "x": 1, long + "y": 2})
    cells = (Cell(value=4, commit=COMMIT), Cell(value=3, commit=COMMIT))
    [payload] = completed([task], result({"0:0": cells}, {"0:0": captures}))
    [series] = payload.series
    assert (series.indexes, series.values, series.captures) == (
        [671, 671, 672],
        [1, 3, 3],
        ["1", "2", "é" * 50],
    )


def test_the_series_of_a_request_share_one_table_of_commits() -> None:
    other = "b" * 40
    task = task_of(
        dispatched(request(series=[requested("a", [(671, 673)]), requested("b", [(671, 673)])]), attempt=1)
    )
    [payload] = completed(
        [task],
        result(
            {
                "0:0": (Cell(value=1, commit=COMMIT), Cell(value=2, commit=other)),
                "0:1": (Cell(value=3, complete=False, reason="shallow", commit=other), Cell(value=0)),
            }
        ),
    )
    assert payload.commits == [COMMIT, other]
    assert [one.commit_refs for one in payload.series] == [[0, 1], []]
    assert [cell.commit_ref for cell in payload.series[1].incomplete] == [1]


def test_large_results_are_split_and_every_part_fits_the_log() -> None:
    task = task_of(
        dispatched(request(series=[requested("patternType:regexp v=(.*)", [(671, 683)], SeriesKind.CAPTURE)]))
    )
    captures = tuple({f"{frame}-{number:090}": 1 for number in range(1_500)} for frame in range(12))
    cells = tuple(Cell(value=1_500, commit=COMMIT) for _ in range(12))
    payloads = completed([task], result({"0:0": cells}, {"0:0": captures}))
    assert len(payloads) > 2
    assert [payload.split for payload in payloads] == list(range(1, len(payloads) + 1))
    assert len({completed_id(payload) for payload in payloads}) == len(payloads)
    for payload in payloads:
        key, value, _ = encode(event(payload))
        assert len(key) + len(value) < MAX_RECORD_BYTES
    covered = [
        index
        for payload in payloads
        for series in payload.series
        for start, end in series.covered
        for index in range(start, end)
    ]
    assert sorted(covered) == list(range(671, 683))
    assert sum(sum(series.values) for payload in payloads for series in payload.series) == 18_000
    assert msgspec.json.encode(payloads)


def test_control_characters_are_reckoned_as_they_are_written() -> None:
    task = task_of(
        dispatched(request(series=[requested("patternType:regexp v=(.*)", [(671, 683)], SeriesKind.CAPTURE)]))
    )
    control = "".join(chr(code) for code in range(1, 32)) * 3
    captures = tuple({f"{frame}-{number}-{control}": 1 for number in range(400)} for frame in range(12))
    cells = tuple(Cell(value=400, commit="a" * 64) for _ in range(12))
    payloads = completed([task], result({"0:0": cells}, {"0:0": captures}))
    assert sum(sum(series.values) for payload in payloads for series in payload.series) == 4_800
    for payload in payloads:
        key, value, _ = encode(event(payload))
        assert len(key) + len(value) < MAX_RECORD_BYTES


def test_a_captured_nul_becomes_its_picture_so_that_the_result_can_be_read() -> None:
    task = task_of(
        dispatched(request(series=[requested("patternType:regexp v=(.*)", [(671, 672)], SeriesKind.CAPTURE)]))
    )
    [payload] = completed([task], result({"0:0": (Cell(value=1, commit=COMMIT),)}, {"0:0": ({"a\0b": 1},)}))
    assert payload.series[0].captures == ["a␀b"]
    key, value, headers = encode(event(payload))
    assert isinstance(decode(Record("millstream.results", 0, 0, 0, key, value, headers)), Event)


def test_a_frame_too_large_for_the_log_is_incomplete_never_cut_silently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "MAX_RESULT_BYTES", 1_000)
    task = task_of(
        dispatched(request(series=[requested("patternType:regexp v=(.*)", [(671, 673)], SeriesKind.CAPTURE)]))
    )
    captures: tuple[dict[str, int], ...] = ({str(number): 1 for number in range(100)}, {"a": 1})
    cells = (Cell(value=100, commit=COMMIT), Cell(value=1, commit=COMMIT))
    payloads = completed([task], result({"0:0": cells}, {"0:0": captures}))
    holes = [cell for payload in payloads for series in payload.series for cell in series.incomplete]
    assert [(cell.index, cell.value, cell.reason) for cell in holes] == [(671, 100, results.TOO_LARGE)]


def test_a_snapshot_is_asked_with_its_base_and_answered_absolutely() -> None:
    target = SnapshotTarget(commit=COMMIT, pushed_offset=9, base_commit="b" * 40, base_limits=LIMITS)
    one = request(
        series=[
            requested("a", [], snapshot=True, base_value=3),
            requested("b", [(671, 672)], snapshot=True),
            requested("c", [(671, 672)]),
        ],
        snapshot=target,
    )
    task = task_of(dispatched(one))
    assert [query.snapshot for query in count_request([task]).queries] == [
        SnapshotPoint(commit=COMMIT, base_commit="b" * 40, base_value=3, base_limits=LIMITS),
        SnapshotPoint(commit=COMMIT, base_commit="b" * 40, base_limits=LIMITS),
        None,
    ]
    assert commits_of([task]) == {COMMIT}
    counted = msgspec.structs.replace(
        result({"0:0": (), "0:1": (Cell(value=1, commit=COMMIT),), "0:2": (Cell(value=0, commit=COMMIT),)}),
        snapshots={
            "0:0": Cell(value=7, commit=COMMIT),
            "0:1": Cell(value=2, complete=False, reason="missing-object", commit=COMMIT),
        },
    )
    [payload] = completed([task], counted)
    assert payload.snapshot == SnapshotOutcome(commit=COMMIT, pushed_offset=9, limits=COUNTED_UNDER)
    assert [series.snapshot for series in payload.series] == [
        SnapshotCount(value=7),
        SnapshotCount(value=2, incomplete="missing-object"),
        None,
    ]
    assert [series.covered for series in payload.series] == [[], [(671, 672)], [(671, 672)]]


def test_captured_values_of_a_snapshot_have_a_part_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = request(
        series=[requested("patternType:regexp v=(.*)", [(671, 672)], SeriesKind.CAPTURE, snapshot=True)],
        snapshot=SnapshotTarget(commit=COMMIT, pushed_offset=9),
    )
    counted = msgspec.structs.replace(
        result({"0:0": (Cell(value=2, commit=COMMIT),)}, {"0:0": ({"1": 2},)}),
        snapshots={"0:0": Cell(value=3, commit=COMMIT)},
        snapshot_captures={"0:0": {"2": 1, "1": 2, "gone": 0}},
    )
    [payload] = completed([task_of(dispatched(one))], counted)
    assert [(series.covered, series.snapshot) for series in payload.series] == [
        ([(671, 672)], None),
        ([], SnapshotCount(value=3, captures={"1": 2, "2": 1})),
    ]
    monkeypatch.setattr(results, "MAX_RESULT_BYTES", 10)
    last = completed([task_of(dispatched(one))], counted)[-1]
    assert [series.snapshot for series in last.series] == [
        SnapshotCount(value=3, incomplete="result-too-large")
    ]


@pytest.mark.parametrize("frames", [[], [(5, 5)], [(5, 5), (7, 7)]])
def test_a_request_without_frames_is_answered_without_cells(frames: list[tuple[int, int]]) -> None:
    task = task_of(dispatched(request(series=[requested("a", frames)])))
    assert count_request([task]).queries[0].instants == ()
    [payload] = completed([task], result({"0:0": ()}))
    assert [(series.covered, series.indexes) for series in payload.series] == [([], [])]


def test_frames_that_overlap_are_counted_once() -> None:
    task = task_of(dispatched(request(series=[requested("a", [(673, 675), (672, 674)])])))
    assert len(count_request([task]).queries[0].instants) == 3
    [payload] = completed([task], result({"0:0": tuple(Cell(value=n, commit=COMMIT) for n in (1, 2, 3))}))
    assert (payload.series[0].indexes, payload.series[0].covered) == ([672, 673, 674], [(672, 675)])


def test_the_time_limit_is_the_dispatched_one() -> None:
    timed = msgspec.structs.replace(dispatched(request()), timeout_s=5.0)
    assert limit_s([task_of(timed)], 3600.0) == 5.0
    assert limit_s([task_of(dispatched(request()))], 3600.0) == 3600.0
