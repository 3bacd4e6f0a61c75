"""Cells against a real Postgres: every cut into batches, every repeat, gives the rows of the rule."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.catalogue import SERIES_POINTS
from projections.generations import Generation
from projections.projection import Projection
from projections.series_points import bulk as points_bulk
from projections.series_points import gathering as points_gathering
from projections.series_points.cells import rank
from schemas.events import SearchCompleted, SeriesResult
from tests.support.projecting import SERIES, Tables, completed, fold_into, foldings, month, result, tables_of

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]
T = TypeVar("T")


def _fold(place: Place, batches: Sequence[Sequence[SearchCompleted]]) -> Tables:
    """The tables, which are the same for one that looks every key up, for one that knows what it wrote, and for one that fills
    tables without keys."""
    numbered = iter(foldings([one for batch in batches for one in batch]))
    events = [[next(numbered) for _ in batch] for batch in batches]
    connection, generation = place(SERIES_POINTS)
    fold_into(connection, SERIES_POINTS, events)
    found = tables_of(connection, SERIES_POINTS, generation.schema_name)
    names = ", ".join(table.name for table in SERIES_POINTS.metadata.sorted_tables)
    connection.execute(f"truncate {names}".encode())
    gatherer = points_gathering.begin(connection)
    assert gatherer is not None, "the tables are empty"
    fold_into(connection, gatherer, events)
    assert tables_of(connection, SERIES_POINTS, generation.schema_name) == found
    connection.execute(f"truncate {names}".encode())
    with connection.transaction(force_rollback=True):  # which gives the keys back
        for table in points_bulk.KEYLESS:
            connection.execute(f"alter table {table} drop constraint {table}_pkey".encode())
        fold_into(connection, points_bulk.begin(connection, fresh=True), events)
        points_bulk.finish(connection)
        points_bulk.finish(connection)
        assert tables_of(connection, SERIES_POINTS, generation.schema_name) == found
    return found


def _points(tables: Tables) -> list[tuple[object, object]]:
    return [(row[2], row[4]) for row in tables["series_points"]]


COMPLETE_1 = completed(result({600: 5, 601: 0}))
COMPLETE_2 = completed(result({600: 7, 601: 2}), attempt=2)
INCOMPLETE_1 = completed(result({}, incomplete={600: (3, "missing-object")}))
NEWER_MATCHER = completed(result({600: 9}), matcher=2)

CASES = [
    ("one result", [COMPLETE_1], [(600, 5)], []),
    ("the same event again", [COMPLETE_1, COMPLETE_1], [(600, 5)], []),
    ("equal rank, other value: the first stays", [COMPLETE_1, completed(result({600: 6}))], [(600, 5)], []),
    ("a later attempt outranks", [COMPLETE_1, COMPLETE_2], [(600, 7), (601, 2)], []),
    ("an earlier attempt, late", [COMPLETE_2, COMPLETE_1], [(600, 7), (601, 2)], []),
    ("a newer matcher outranks any attempt", [COMPLETE_2, NEWER_MATCHER], [(600, 9), (601, 2)], []),
    ("incomplete alone", [INCOMPLETE_1], [(600, 3)], [(600, "missing-object")]),
    ("incomplete then complete", [INCOMPLETE_1, COMPLETE_1], [(600, 5)], []),
    ("complete then incomplete", [COMPLETE_1, INCOMPLETE_1], [(600, 5)], []),
    (
        "incomplete of a newer matcher outranks complete of an older",
        [COMPLETE_1, completed(result({}, incomplete={600: (3, "x")}), matcher=2)],
        [(600, 3)],
        [(600, "x")],
    ),
    ("an outranked value that is 0 now", [COMPLETE_1, completed(result({600: 0}), attempt=2)], [], []),
    ("next month's recording", [COMPLETE_1, completed(result({602: 4}))], [(600, 5), (602, 4)], []),
]


@pytest.mark.parametrize("cut", ["one batch", "a batch each"])
@pytest.mark.parametrize(
    ("events", "points", "holes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_greatest_rank_holds_a_cell(
    place: Place,
    events: list[SearchCompleted],
    points: list[tuple[int, int]],
    holes: list[tuple[int, str]],
    cut: str,
) -> None:
    tables = _fold(place, [events] if cut == "one batch" else [[one] for one in events])
    assert _points(tables) == [(month(index), value) for index, value in points]
    assert [(row[2], row[3]) for row in tables["insight_series_incomplete_points"]] == [
        (month(index), reason) for index, reason in holes
    ]


def test_captures_of_a_cell_go_together(place: Place) -> None:
    before = completed(result({}, captures=[(600, "1.20", 2), (600, "1.21", 3), (601, "1.20", 4)]))
    after = completed(result({}, captures=[(600, "1.22", 9)]), attempt=2)
    rows = _fold(place, [[before], [after]])["series_points"]
    assert [(row[2], row[3], row[4]) for row in rows] == [(month(600), "1.22", 9), (month(601), "1.20", 4)]


def test_coverage_is_disjoint_and_says_the_rank(place: Place) -> None:
    connection, generation = place(SERIES_POINTS)
    events = foldings(
        [completed(result({600: 1}, covered=[(598, 604)])), completed(result({600: 2}), attempt=2)]
    )
    fold_into(connection, SERIES_POINTS, [[one] for one in events])
    rows = connection.execute(
        "select rank, cells::text from series_coverage where series_id = %s order by rank", (SERIES,)
    ).fetchall()
    assert rows == [(rank(1, True, 1), "{[598,600),[601,604)}"), (rank(1, True, 2), "{[600,601)}")]
    assert generation.live


cell_results = st.builds(
    lambda cells, attempt, matcher, repository: completed(
        _result(cells), attempt=attempt, matcher=matcher, repository_id=repository
    ),
    st.dictionaries(st.integers(600, 604), st.tuples(st.integers(0, 3), st.booleans()), min_size=1),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 2),
)


def _result(cells: dict[int, tuple[int, bool]]) -> SeriesResult:
    return result(
        {index: value for index, (value, complete) in cells.items() if complete},
        incomplete={
            index: (value, "limit-hit") for index, (value, complete) in cells.items() if not complete
        },
    )


def _expected(events: Sequence[SearchCompleted]) -> dict[tuple[int, int], tuple[int, int]]:
    """(repository, index) -> (rank, value), by the rule in its plainest form."""
    held: dict[tuple[int, int], tuple[int, int]] = {}
    for one in events:
        for series in one.series:
            values = dict(zip(series.indexes, series.values, strict=True))
            cells = [
                (index, True, values.get(index, 0))
                for start, end in series.covered
                for index in range(start, end)
            ]
            cells += [(cell.index, False, cell.value) for cell in series.incomplete]
            for index, complete, value in cells:
                rank_ = rank(one.matcher_version, complete, one.attempt)
                cell = (one.repository_id, index)
                if cell not in held or held[cell][0] < rank_:
                    held[cell] = (rank_, value)
    return held


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(cell_results, min_size=1, max_size=8), data=st.data())
def test_any_cut_and_any_repeat_gives_the_rule(
    place: Place, events: list[SearchCompleted], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(events)), max_size=3)) | {0, len(events)})
    batches = [events[start:end] for start, end in itertools.pairwise(cuts)]
    repeated = data.draw(st.integers(0, len(events) - 1))
    tables = _fold(place, [*batches, events[: repeated + 1]])
    expected = _expected(events)
    assert {(row[1], row[2]): (row[6], row[4]) for row in tables["series_points"]} == {
        (repository, month(index)): (rank_, value)
        for (repository, index), (rank_, value) in expected.items()
        if value
    }
    assert {(row[1], row[2]) for row in tables["insight_series_incomplete_points"]} == {
        (repository, month(index))
        for (repository, index), (rank_, _) in expected.items()
        if not rank_ >> 16 & 1
    }


def test_repositories_may_come_in_any_order(place: Place) -> None:
    """Partitions are interleaved as the broker likes: the order of two repositories cannot be seen."""
    random_ = random.Random(7)
    streams = {
        repository: [
            completed(result({600 + n % 3: n}), attempt=1 + n % 2, repository_id=repository) for n in range(6)
        ]
        for repository in range(4)
    }
    seen = []
    for _ in range(5):
        left = {repository: list(events) for repository, events in streams.items()}
        order: list[SearchCompleted] = []
        while any(left.values()):
            repository = random_.choice([one for one, events in left.items() if events])
            order.append(left[repository].pop(0))
        size = random_.randint(1, 7)
        seen.append(_fold(place, _cut(order, size)))
    assert all(tables == seen[0] for tables in seen)
    assert len(seen[0]["series_points"]) > 0


def _cut(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def test_where_something_is_counted_every_key_is_looked_up(place: Place) -> None:
    connection, _ = place(SERIES_POINTS)
    fold_into(connection, SERIES_POINTS, [foldings([completed(result({600: 1}))])])
    assert points_gathering.begin(connection) is None


def test_what_was_taken_back_or_written_by_others_is_not_taken_for_new(place: Place) -> None:
    connection, generation = place(SERIES_POINTS)
    gatherer = points_gathering.begin(connection)
    assert gatherer is not None
    first, again, later = foldings([completed(result({600: value}), attempt=value) for value in (1, 2, 3)])
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        gatherer.add([first])
        gatherer.take()(cursor)
    fold_into(connection, gatherer, [[first], [again]])
    assert _points(tables_of(connection, SERIES_POINTS, generation.schema_name)) == [(month(600), 2.0)]
    connection.execute("truncate series_points, series_coverage")
    gatherer = points_gathering.begin(connection)
    assert gatherer is not None
    fold_into(connection, SERIES_POINTS, [[first]])
    gatherer.forget()
    fold_into(connection, gatherer, [[later]])
    assert _points(tables_of(connection, SERIES_POINTS, generation.schema_name)) == [(month(600), 3.0)]
