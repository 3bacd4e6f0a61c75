"""The newest count of each (series, repository): the greatest push, then the greatest rank, in any order and cut."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from projections.catalogue import SERIES_POINTS
from projections.folding import Folding
from projections.generations import Generation
from projections.projection import Projection
from projections.reading import Reader
from projections.series_points import queries
from projections.series_points.cells import rank
from projections.series_points.columns import NOT_COUNTED
from schemas.codec import new_event
from schemas.envelope import Position
from schemas.events import (
    BackfillPlanned,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    SearchCompleted,
    SnapshotCount,
)
from schemas.grid import TimeUnit
from schemas.registry import Payload
from tests.support.projecting import (
    OTHER_SERIES,
    SERIES,
    T0,
    Tables,
    completed,
    event,
    fold_into,
    folding,
    result,
    tables_of,
)


def foldings(payloads: Sequence[Payload]) -> list[Folding]:
    """All said at one time, so that their order cannot be told by it."""
    return [folding(event(payload), offset) for offset, payload in enumerate(payloads)]


Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def reader(app: Engine) -> Iterator[Reader]:
    reader = Reader(app)
    yield reader
    reader.close()


def counted(
    value: int,
    *,
    push: int = 5,
    reason: str | None = None,
    captures: dict[str, int] | None = None,
    attempt: int = 1,
    matcher: int = 1,
    repository_id: int = 1,
    series_id: str = SERIES,
    tip: str | None = NEW,
    limits: str | None = None,
) -> SearchCompleted:
    """A result of nothing but a snapshot."""
    snapshot = SnapshotCount(value=value, captures=captures, incomplete=reason)
    return completed(
        result({}, series_id=series_id, snapshot=snapshot),
        attempt=attempt,
        matcher=matcher,
        repository_id=repository_id,
        pushed_offset=push,
        tip=tip,
        limits=limits,
    )


def planned(*repositories: int, series_id: str = SERIES) -> BackfillPlanned:
    series = [
        PlannedSeries(series_id=series_id, unit=TimeUnit.MONTH, value=1, first_index=600, end_index=601)
    ]
    return BackfillPlanned(
        insight_id=7,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=series, repositories=list(repositories))],
        part=1,
        of=1,
    )


def _fold(place: Place, batches: Sequence[Sequence[Payload]]) -> Tables:
    connection, generation = place(SERIES_POINTS)
    numbered = iter(foldings([one for batch in batches for one in batch]))
    fold_into(connection, SERIES_POINTS, [[next(numbered) for _ in batch] for batch in batches])
    return tables_of(connection, SERIES_POINTS, generation.schema_name)


def _rows(tables: Tables) -> list[tuple[object, ...]]:
    return tables["series_points_snapshots"]


def test_a_snapshot_is_a_row_with_all_that_is_known(place: Place) -> None:
    (row,) = _rows(_fold(place, [[counted(7, captures={"1.20": 3, "1.21": 4, "gone": 0})]]))
    assert row == (SERIES, 1, 7, {"1.20": 3, "1.21": 4}, NEW, 5, rank(1, True, 1), None, T0, None)


@pytest.mark.parametrize("cut", ["one batch", "a batch each"])
def test_limits_are_those_of_the_count_that_stays(place: Place, cut: str) -> None:
    first, later = counted(7, limits="0" * 16), counted(3, push=6, limits="1" * 16)
    for events in ([first, later], [later, first]):
        (row,) = _rows(_fold(place, [events] if cut == "one batch" else [[one] for one in events]))
        assert (row[2], row[-1]) == (3, "1" * 16)


CASES = [
    ("the same again", [counted(7), counted(7)], 7),
    ("equal in all: the first stays", [counted(7), counted(8)], 7),
    ("a later push", [counted(7), counted(3, push=6)], 3),
    ("an earlier push, late", [counted(3, push=6), counted(7)], 3),
    ("a later attempt", [counted(7), counted(8, attempt=2)], 8),
    ("an earlier attempt, late", [counted(8, attempt=2), counted(7)], 8),
    ("a newer matcher", [counted(8, attempt=9), counted(7, matcher=2)], 7),
    ("whole over lower bound", [counted(5, reason="timeout", attempt=3), counted(7)], 7),
    ("a lower bound of a later push", [counted(7), counted(2, push=6, reason="timeout")], 2),
    (
        "a newer matcher on an earlier push says nothing about the later one",
        [counted(7, push=6), counted(9, matcher=2)],
        7,
    ),
    ("an empty repository", [counted(7), counted(0, push=6, tip=None)], 0),
]


@pytest.mark.parametrize("cut", ["one batch", "a batch each"])
@pytest.mark.parametrize(("events", "value"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_greatest_push_then_the_greatest_rank(
    place: Place, events: list[SearchCompleted], value: int, cut: str
) -> None:
    (row,) = _rows(_fold(place, [events] if cut == "one batch" else [[one] for one in events]))
    assert row[2] == value


snapshot_results = st.builds(
    lambda push, attempt, matcher, whole, repository: counted(
        push * 1000 + matcher * 100 + attempt * 10 + whole,
        push=push,
        attempt=attempt,
        matcher=matcher,
        reason=None if whole else "limit-hit",
        repository_id=repository,
    ),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.booleans(),
    st.integers(1, 2),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(snapshot_results, min_size=2, max_size=8), data=st.data())
def test_any_order_any_cut_and_any_repeat_give_the_same_snapshots(
    place: Place, events: list[SearchCompleted], data: st.DataObject
) -> None:
    """Values follow from all that decides, so that equal ranks are equal facts."""
    order = data.draw(st.permutations([*events, *events[: data.draw(st.integers(0, len(events)))]]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=3)) | {0, len(order)})
    found = _rows(_fold(place, [order[start:end] for start, end in itertools.pairwise(cuts)]))
    expected: dict[int, tuple[int, int, int]] = {}
    for one in events:
        (said,) = one.series
        assert one.snapshot is not None
        assert said.snapshot is not None
        key = (
            one.snapshot.pushed_offset,
            rank(one.matcher_version, not said.snapshot.incomplete, one.attempt),
        )
        expected[one.repository_id] = max(
            expected.get(one.repository_id, (-1, -1, -1)), (*key, said.snapshot.value)
        )
    assert {row[1]: (row[5], row[6], row[2]) for row in found} == expected


def test_two_attempts_and_two_matchers_in_all_orders_give_the_same_cell(place: Place) -> None:
    """Every order of the four results, cut anywhere: one state of cells and snapshots alike."""
    results = [
        completed(
            result(
                {600: 10 * matcher + attempt, 601: 0},
                incomplete={602: (attempt, "timeout")},
                snapshot=SnapshotCount(value=100 * matcher + attempt),
            ),
            attempt=attempt,
            matcher=matcher,
            pushed_offset=5,
        )
        for matcher in (1, 2)
        for attempt in (1, 2)
    ]
    random_ = random.Random(3)
    seen: list[Tables] = []
    for order in itertools.permutations(results):
        size = random_.randint(1, 4)
        seen.append(_fold(place, [order[start : start + size] for start in range(0, 4, size)]))
    assert all(tables == seen[0] for tables in seen)
    assert [row[4] for row in seen[0]["series_points"]] == [22, 2]
    assert [row[2] for row in _rows(seen[0])] == [202]
    assert len(seen) == 24


def test_the_sum_over_planned_repositories_says_what_it_lacks(place: Place, reader: Reader) -> None:
    connection, _ = place(SERIES_POINTS)
    fold_into(
        connection,
        SERIES_POINTS,
        [
            foldings(
                [
                    planned(1, 2, 3, 4),
                    planned(1, series_id=OTHER_SERIES),
                    counted(7),
                    counted(5, repository_id=2, reason="missing-object"),
                    counted(90, repository_id=3),
                    counted(900, repository_id=9),
                ]
            )
        ],
    )
    with reader.snapshot(("series_points",)) as snapshot:
        found = queries.newest_points(snapshot.connection, [SERIES, OTHER_SERIES])
        rows = queries.snapshots(snapshot.connection, [SERIES, OTHER_SERIES])
        without = queries.newest_points(snapshot.connection, [SERIES], removed=[3, 4])
    assert set(found) == {SERIES}, "a series without any snapshot has no newest point"
    assert (found[SERIES].value, found[SERIES].time) == (102, T0)
    assert found[SERIES].reasons == {"missing-object": 1, NOT_COUNTED: 1}
    assert (without[SERIES].value, without[SERIES].reasons) == (12, {"missing-object": 1})
    assert {repository: row.value for repository, row in rows[SERIES].items()} == {1: 7, 2: 5, 3: 90}
    assert (rows[SERIES][1].commit, rows[SERIES][1].matcher_version, rows[SERIES][1].pushed_offset) == (
        NEW,
        1,
        5,
    )
    assert queries.newest_of(rows[SERIES], [1, 2, 3, 4]) == found[SERIES]
    assert queries.newest_of(rows[SERIES], [1, 2]) == without[SERIES]
    assert queries.newest_of(rows[OTHER_SERIES], [1]) is None


def test_who_may_not_see_a_repository_gets_a_sum_without_it(place: Place, reader: Reader) -> None:
    connection, _ = place(SERIES_POINTS)
    fold_into(
        connection,
        SERIES_POINTS,
        [
            foldings(
                [planned(1, 2), counted(7, captures={"a": 7}), counted(5, repository_id=2, captures={"a": 5})]
            )
        ],
    )
    with reader.snapshot(("series_points",), denied_repositories=[2]) as snapshot:
        found = queries.newest_points(snapshot.connection, [SERIES])[SERIES]
        assert set(queries.snapshots(snapshot.connection, [SERIES])[SERIES]) == {1}
    assert (found.value, found.reasons, found.captures) == (7, {}, {"a": 7})


def test_captured_values_are_summed_over_repositories(place: Place, reader: Reader) -> None:
    connection, _ = place(SERIES_POINTS)
    long = "é" * 60
    fold_into(
        connection,
        SERIES_POINTS,
        [
            foldings(
                [
                    planned(1, 2),
                    counted(6, captures={"1.20": 2, long + "x": 1, long + "y": 3}),
                    counted(5, repository_id=2, captures={"1.20": 5}),
                ]
            )
        ],
    )
    with reader.snapshot(("series_points",)) as snapshot:
        found = queries.newest_points(snapshot.connection, [SERIES])[SERIES]
    assert found.captures == {"1.20": 7, "é" * 50: 4}


def test_the_time_is_when_it_was_counted_and_not_when_it_was_folded(place: Place) -> None:
    earlier = datetime.fromisoformat("2026-02-03T04:05:06Z")
    connection, generation = place(SERIES_POINTS)
    said = new_event(counted(1), source="//test", time=earlier)
    fold_into(connection, SERIES_POINTS, [[Folding(said, Position("millstream.results", 0, 0), T0)]])
    (row,) = _rows(tables_of(connection, SERIES_POINTS, generation.schema_name))
    assert row[8] == earlier


def _grid(
    unit: TimeUnit, value: int, index: int, *, attempt: int = 1, repository_id: int = 1
) -> SearchCompleted:
    one = msgspec.structs.replace(result({index: value}), unit=unit)
    return completed(one, attempt=attempt, repository_id=repository_id)


@pytest.mark.parametrize("cut", ["one batch", "a batch each"])
def test_the_first_grid_of_a_series_in_a_repository_is_its_only_one(place: Place, cut: str) -> None:
    """Two units under one id would be two instants under one index: what comes second is left out."""
    events: list[Payload] = [
        _grid(TimeUnit.MONTH, 4, 600),
        _grid(TimeUnit.WEEK, 9, 600, attempt=2),
        _grid(TimeUnit.WEEK, 9, 900, attempt=2),
        _grid(TimeUnit.MONTH, 5, 601),
        _grid(TimeUnit.WEEK, 9, 600, repository_id=2),
        planned(1),
        _weekly_plan(1, 2),
    ]
    tables = _fold(place, [events] if cut == "one batch" else [[one] for one in events])
    assert [(row[1], row[4]) for row in tables["series_points"]] == [(1, 4), (1, 5), (2, 9)]
    assert [(row[1], row[3]) for row in tables["series_coverage"]] == [(1, "MONTH"), (2, "WEEK")]
    assert [(row[1], row[2]) for row in tables["series_planned"]] == [(1, "MONTH"), (2, "WEEK")]


def _weekly_plan(*repositories: int) -> BackfillPlanned:
    series = [PlannedSeries(series_id=SERIES, unit=TimeUnit.WEEK, value=1, first_index=600, end_index=601)]
    return BackfillPlanned(
        insight_id=7,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=series, repositories=list(repositories))],
        part=1,
        of=1,
    )
