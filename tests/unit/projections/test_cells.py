"""Which result holds a cell: ranges, ranks, several results in one batch, and results against what is there."""

import itertools
import struct
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.series_points import ranges
from projections.series_points.cells import Hole, KeyCells, Point, rank, reduce, settle
from projections.series_points.copy_rows import instant, point_rows
from projections.series_points.fold import fold
from projections.series_points.labels import CAPTURE_MAX_BYTES
from projections.series_points.outcomes import key_change
from schemas.events import SearchCompleted
from tests.support.projecting import COMMIT, SERIES, completed, foldings, result

indexes = st.sets(st.integers(-5, 40), max_size=20)


@given(indexes)
def test_ranges_hold_exactly_their_indexes(held: set[int]) -> None:
    found = ranges.of_indexes(held)
    assert set(ranges.indexes(found)) == held
    assert ranges.size(found) == len(held)
    assert ranges.parse(ranges.literal(found)) == found
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


def test_ranges_are_merged_and_empty_ones_vanish() -> None:
    assert ranges.normalised([(5, 7), (1, 3), (3, 5), (9, 9)]) == ((1, 7),)
    assert ranges.parse("{}") == ()


def test_rank_orders_by_matcher_then_completeness_then_attempt() -> None:
    ordered = [
        rank(1, False, 1),
        rank(1, False, 65_535),
        rank(1, True, 1),
        rank(1, True, 65_535),
        rank(2, False, 1),
    ]
    assert ordered == sorted(ordered)
    assert len(set(ordered)) == len(ordered)


def _cells(event: SearchCompleted) -> KeyCells:
    (change,) = fold(foldings([event])).keys
    return change.cells()


COMPLETE = rank(1, True, 1)
LOWER = rank(1, False, 1)
SECOND = rank(1, True, 2)


def test_a_result_is_points_coverage_and_holes() -> None:
    found = _cells(
        completed(result({600: 5, 601: 0}, incomplete={602: (3, "missing-object"), 603: (0, "shallow")}))
    )
    assert found.points == (
        Point(600, "", 5, COMMIT, COMPLETE),
        Point(602, "", 3, COMMIT, LOWER),
    )
    assert found.holes == (Hole(602, "missing-object", LOWER), Hole(603, "shallow", LOWER))
    assert found.coverage == ((LOWER, ((602, 604),)), (COMPLETE, ((600, 602),)))
    assert found.covered() == ((600, 604),)


@pytest.mark.parametrize(
    ("events", "values", "coverage"),
    [
        ([completed(result({600: 5}))] * 2, {600: 5}, ((COMPLETE, ((600, 601),)),)),
        (
            [completed(result({600: 5, 601: 6})), completed(result({601: 7}), attempt=2)],
            {600: 5, 601: 7},
            ((COMPLETE, ((600, 601),)), (SECOND, ((601, 602),))),
        ),
        (
            [completed(result({601: 7}), attempt=2), completed(result({600: 5, 601: 6}))],
            {600: 5, 601: 7},
            ((COMPLETE, ((600, 601),)), (SECOND, ((601, 602),))),
        ),
        ([completed(result({600: 5})), completed(result({600: 6}))], {600: 5}, ((COMPLETE, ((600, 601),)),)),
        (
            [completed(result({}, incomplete={600: (2, "x")})), completed(result({600: 5}))],
            {600: 5},
            ((COMPLETE, ((600, 601),)),),
        ),
        (
            [completed(result({600: 5})), completed(result({600: 0}), attempt=2)],
            {},
            ((SECOND, ((600, 601),)),),
        ),
    ],
    ids=["redelivered", "higher later", "higher first", "equal rank", "incomplete then complete", "now zero"],
)
def test_several_results_of_one_key_in_one_batch(
    events: list[SearchCompleted], values: dict[int, int], coverage: tuple[object, ...]
) -> None:
    (change,) = fold(foldings(events)).keys
    assert {point.index: point.value for point in change.cells().points} == values
    assert change.cells().coverage == coverage
    assert change.cells().holes == ()


def test_settling_takes_the_higher_rank_only() -> None:
    incoming = _cells(completed(result({600: 5, 601: 6, 602: 7})))
    settled = settle([(SECOND, ((600, 601),)), (LOWER, ((601, 602),)), (COMPLETE, ((602, 603),))], incoming)
    assert [point.index for point in settled.cells.points] == [601]
    assert settled.removed == (601,)
    assert settled.coverage == ((COMPLETE, ((601, 603),)), (SECOND, ((600, 601),)))


def test_settling_against_nothing_changes_nothing() -> None:
    incoming = _cells(completed(result({600: 5}, incomplete={601: (1, "x")})))
    settled = settle([], incoming)
    assert (settled.cells, settled.removed, settled.coverage) == (incoming, (), incoming.coverage)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.integers(600, 603), st.integers(0, 2), min_size=1), st.integers(1, 3))
    )
)
def test_reducing_a_batch_is_settling_one_by_one(said: list[tuple[dict[int, int], int]]) -> None:
    outcomes = [_cells(completed(result(values), attempt=attempt)) for values, attempt in said]
    if not outcomes:
        return
    coverage: tuple[tuple[int, ranges.Ranges], ...] = ()
    points: dict[int, Point] = {}
    for outcome in outcomes:
        settled = settle(coverage, outcome)
        coverage = settled.coverage
        for index in settled.removed:
            points.pop(index, None)
        points |= {point.index: point for point in settled.cells.points}
    reduced = reduce(outcomes)
    assert reduced.coverage == coverage
    assert {point.index: point for point in reduced.points} == points


def test_captured_values_are_cut_and_equal_ones_summed() -> None:
    long = "é" * 60
    found = _cells(
        completed(result({}, captures=[(600, long + "a", 2), (600, long + "b", 3), (600, "x", 1)]))
    )
    assert [(point.capture, point.value) for point in found.points] == [("x", 1), ("é" * 50, 5)]
    assert len(("é" * 50).encode()) == CAPTURE_MAX_BYTES


def test_a_point_in_binary_copy() -> None:
    assert instant("MONTH", 1, 600) == datetime(2020, 1, 1, tzinfo=UTC)
    row = point_rows((SERIES, 7), ("MONTH", 1), [Point(600, "", 5, COMMIT, COMPLETE)])
    assert struct.unpack(">hi66siq iqi id i40s iq".replace(" ", ""), row) == (
        7,
        66,
        SERIES.encode(),
        8,
        7,
        8,
        631_152_000_000_000,
        0,
        8,
        5.0,
        40,
        COMMIT.encode(),
        8,
        COMPLETE,
    )
    plain = point_rows((SERIES, 7), ("MONTH", 1), [Point(600, "", 5, "c" * 64, COMPLETE)])
    assert len(plain) == len(row) + 24
    assert b"\xff\xff\xff\xff" in point_rows((SERIES, 7), ("MONTH", 1), [Point(600, "", 5, None, COMPLETE)])


@given(
    values=st.dictionaries(st.integers(-5, 40), st.integers(1, 2**53), max_size=12),
    commits=st.lists(st.sampled_from(["", "a" * 40, "b" * 64]), min_size=1, max_size=3),
    repository=st.integers(0, 2**53),
)
def test_plain_results_become_the_same_rows_as_all_others(
    values: dict[int, int], commits: list[str], repository: int
) -> None:
    indexes = sorted(values)
    said = msgspec.structs.replace(
        result({}),
        covered=[(-5, 41)],
        indexes=indexes,
        values=[values[index] for index in indexes],
        commit_refs=[place % len(commits) for place in range(len(indexes))],
    )
    event = msgspec.structs.replace(completed(repository_id=repository), series=[said], commits=commits)
    (plain,) = fold(foldings([event])).keys
    assert not isinstance(plain.said, KeyCells)
    other = key_change(plain.key, plain.cells())
    assert (plain.points, plain.holes, plain.covered, plain.rows) == (
        other.points,
        other.holes,
        other.covered,
        other.rows,
    )
    assert (plain.grid, plain.coverage) == (other.grid, other.coverage)
