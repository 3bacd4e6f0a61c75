"""What a chart is told: sums, holes, failures and what is still open, from real tables."""

from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest
from sqlalchemy import Engine

from projections.catalogue import SERIES_POINTS
from projections.generations import Generation
from projections.projection import Projection
from projections.reading import Reader
from projections.series_points import queries
from projections.series_points.columns import NOT_COUNTED, SeriesColumns
from schemas.events import BackfillPlanned, PlanCause, PlannedScope, PlannedSeries
from schemas.grid import TimeUnit
from schemas.registry import Payload
from tests.support.projecting import (
    COMMIT,
    OTHER_SERIES,
    SERIES,
    completed,
    failed,
    fold_into,
    foldings,
    month,
    result,
)

Place = Callable[[Projection], tuple[psycopg.Connection[tuple[object, ...]], Generation]]


@pytest.fixture
def reader(app: Engine) -> Iterator[Reader]:
    reader = Reader(app)
    yield reader
    reader.close()


def _planned(repositories: Sequence[int], first: int = 600, end: int = 603) -> BackfillPlanned:
    series = [PlannedSeries(series_id=SERIES, unit=TimeUnit.MONTH, value=1, first_index=first, end_index=end)]
    return BackfillPlanned(
        insight_id=7,
        cause=PlanCause.INSIGHT_CREATED,
        scopes=[PlannedScope(series=series, repositories=list(repositories))],
        part=1,
        of=1,
    )


def _columns(
    place: Place, reader: Reader, said: Sequence[Payload], denied: Sequence[int] = ()
) -> SeriesColumns:
    connection, _ = place(SERIES_POINTS)
    fold_into(connection, SERIES_POINTS, [foldings(said)])
    with reader.snapshot(("series_points",), denied_repositories=denied) as snapshot:
        return queries.columns(snapshot.connection, [SERIES])[SERIES]


def test_planned_and_not_counted_is_null_and_no_zero(place: Place, reader: Reader) -> None:
    columns = _columns(place, reader, [_planned([1, 2])])
    assert list(columns.times) == [month(600), month(601), month(602)]
    assert list(columns.values) == [None, None, None]
    assert list(columns.incomplete) == [True, True, True]
    assert (columns.planned_cells, columns.done_cells, columns.open_cells) == (6, 0, 6)


def test_a_frame_with_any_cell_is_a_point_flagged_while_others_are_open(place: Place, reader: Reader) -> None:
    columns = _columns(
        place,
        reader,
        [
            _planned([1, 2]),
            completed(result({600: 5, 601: 0, 602: 1})),
            completed(result({600: 2}), repository_id=2),
        ],
    )
    assert list(columns.values) == [7, 0, 1]
    assert list(columns.incomplete) == [False, True, True]
    assert columns.reasons == {month(601): {NOT_COUNTED: 0}, month(602): {NOT_COUNTED: 0}}
    assert (columns.planned_cells, columns.done_cells, columns.open_cells) == (6, 4, 2)
    with reader.snapshot(("series_points",)) as snapshot:
        for removed, open_cells in (([1], 2), ([2], 0), ([1, 2, 3], 0)):
            seen = queries.columns(snapshot.connection, [SERIES], removed)[SERIES]
            assert (seen.open_cells, seen.planned_cells) == (open_cells, 4 + open_cells)
            assert seen.values == columns.values, "the past stays"
            assert seen.reasons == (columns.reasons if open_cells else {}), "nobody waits for the rest"


def test_what_failed_in_a_removed_repository_is_not_held_against_the_chart(
    place: Place, reader: Reader
) -> None:
    one, other = completed(result({600: 5, 601: 1, 602: 1})), completed(result({600: 0}), repository_id=2)
    lost = failed(completed(result({}, covered=[(601, 603)]), repository_id=2), "not-cloned")
    columns = _columns(place, reader, [_planned([1, 2]), one, other, lost])
    assert (columns.failed_cells, list(columns.incomplete)) == (2, [False, True, True])
    with reader.snapshot(("series_points",)) as snapshot:
        seen = queries.columns(snapshot.connection, [SERIES], [2])[SERIES]
        cells = queries.without_removed(queries.cells_of(snapshot.connection, [SERIES])[SERIES], {2})
    assert (seen.failed_cells, seen.open_cells, seen.planned_cells) == (0, 0, 4)
    assert (seen.values, list(seen.incomplete)) == (columns.values, [False, False, False])
    assert [(cell.state, cell.reason) for cell in cells if cell.repository_id == 2] == [
        ("complete", ""),
        ("removed", "removed"),
        ("removed", "removed"),
    ]


def test_missing_object_zero_and_never_planned_in_one_chart(place: Place, reader: Reader) -> None:
    columns = _columns(
        place,
        reader,
        [
            _planned([1, 2]),
            completed(result({601: 3, 602: 4}, incomplete={600: (2, "missing-object")})),
            completed(result({600: 0, 601: 0, 602: 0}), repository_id=2),
        ],
    )
    assert list(columns.values) == [2, 3, 4]
    assert list(columns.incomplete) == [True, False, False]
    assert columns.reasons == {month(600): {"missing-object": 1}}
    assert columns.open_cells == 0
    with reader.snapshot(("series_points",)) as snapshot:
        cells = queries.per_repository(snapshot.connection, SERIES)
    shown = {(cell.repository_id, cell.index): (cell.value, cell.state, cell.reason) for cell in cells}
    assert shown == {
        (1, 600): (2, "incomplete", "missing-object"),
        (1, 601): (3, "complete", ""),
        (1, 602): (4, "complete", ""),
        (2, 600): (0, "complete", ""),
        (2, 601): (0, "complete", ""),
        (2, 602): (0, "complete", ""),
    }
    assert next(cell for cell in cells if cell.value == 4).commit == COMMIT


def test_a_final_failure_closes_its_cells_without_a_value(place: Place, reader: Reader) -> None:
    columns = _columns(
        place,
        reader,
        [
            _planned([1, 2]),
            completed(result({600: 5}, covered=[(600, 603)])),
            failed(completed(result({}, covered=[(600, 603)]), repository_id=2), "timeout"),
        ],
    )
    assert list(columns.values) == [5, 0, 0]
    assert list(columns.incomplete) == [True, True, True]
    assert columns.reasons[month(600)] == {"timeout": 1}
    assert (columns.open_cells, columns.failed_cells, columns.done_cells) == (0, 3, 6)


def test_a_failure_that_is_not_final_leaves_its_cells_open(place: Place, reader: Reader) -> None:
    columns = _columns(
        place, reader, [_planned([1]), failed(completed(result({600: 1})), "timeout", final=False)]
    )
    assert columns.open_cells == 3


def test_a_value_after_a_final_failure_counts(place: Place, reader: Reader) -> None:
    lost = failed(completed(result({600: 1, 601: 1, 602: 1})), "timeout")
    columns = _columns(
        place, reader, [_planned([1]), lost, completed(result({600: 1, 601: 1, 602: 1}), attempt=2)]
    )
    assert list(columns.values) == [1, 1, 1]
    assert not any(columns.incomplete)
    assert columns.failed_cells == 0


def test_two_plans_of_one_series_are_one(place: Place, reader: Reader) -> None:
    columns = _columns(place, reader, [_planned([1]), _planned([1, 2], 601, 605), _planned([1])])
    assert columns.repositories == 2
    assert columns.planned_cells == 5 + 4


def test_denied_repositories_are_in_no_sum_and_no_count(place: Place, reader: Reader) -> None:
    said = [_planned([1, 2]), completed(result({600: 5})), completed(result({600: 2}), repository_id=2)]
    columns = _columns(place, reader, said, denied=[1])
    assert columns.values[0] == 2
    assert columns.planned_cells == 3
    with reader.snapshot(("series_points",), denied_repositories=[1]) as snapshot:
        cells = queries.per_repository(snapshot.connection, SERIES, month(600))
    assert [(cell.repository_id, cell.value) for cell in cells] == [(2, 2)]


def test_captured_values_are_summed_by_value(place: Place, reader: Reader) -> None:
    one = completed(result({}, captures=[(600, "3.11", 2), (600, "3.12", 1), (601, "3.12", 5)]))
    two = completed(result({}, captures=[(600, "3.12", 4)]), repository_id=2)
    columns = _columns(place, reader, [_planned([1, 2]), one, two])
    assert columns.values[0] == 7
    with reader.snapshot(("series_points",)) as snapshot:
        found = queries.captures(snapshot.connection, [SERIES, OTHER_SERIES])
    assert found == {
        SERIES: {"3.11": {month(600): 2}, "3.12": {month(600): 5, month(601): 5}},
        OTHER_SERIES: {},
    }


def test_a_series_without_a_plan_has_no_columns(place: Place, reader: Reader) -> None:
    connection, _ = place(SERIES_POINTS)
    fold_into(connection, SERIES_POINTS, [foldings([completed(result({600: 5}))])])
    with reader.snapshot(("series_points",)) as snapshot:
        assert queries.columns(snapshot.connection, [SERIES, OTHER_SERIES]) == {}


def test_what_was_counted_and_never_planned_is_in_no_total(place: Place, reader: Reader) -> None:
    planned: list[Payload] = [
        _planned([1, 2]),
        completed(result({600: 5, 601: 0, 602: 1})),
        completed(result({600: 2}), repository_id=2),
    ]
    strays: list[Payload] = [
        completed(result({600: 100, 610: 100}), repository_id=9),  # a repository outside the plan
        completed(result({605: 100})),  # a frame outside the plan
        completed(result({}, incomplete={601: (100, "timeout")}, covered=[]), repository_id=9),
        failed(completed(result({606: 0}), repository_id=9)),
    ]
    assert _columns(place, reader, [*planned, *strays]) == _columns(place, reader, planned)
