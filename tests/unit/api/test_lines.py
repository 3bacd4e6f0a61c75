"""From columns and cells to lines: what is missing stays missing, what is incomplete says so."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from api.graphql.lines import (
    NOTHING,
    Cells,
    DisplayOptions,
    Frames,
    Line,
    Newest,
    SortDirection,
    SortMode,
    frames_of_cells,
    lines_of,
    shown,
    with_newest,
)
from projections.series_points.queries import NewestPoint, RepositoryCell
from schemas.events import SeriesDefinition, SeriesKind
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id

SERIES = SeriesDefinition(
    series_id=series_id(SeriesIdentity(query="q")), label="l", query="q", unit=TimeUnit.MONTH, value=1
)
JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


def cell(
    repository: int,
    time: datetime,
    value: float | None,
    state: str = "complete",
    reason: str = "",
    **captures: float,
) -> RepositoryCell:
    return RepositoryCell(
        repository_id=repository,
        time=time,
        index=time.month,
        value=value,
        state=state,
        reason=reason,
        captures=captures,
    )


def frames(
    values: Sequence[float | None], captures: dict[str, dict[datetime, float]] | None = None
) -> Frames:
    times = [JANUARY, FEBRUARY, MARCH][: len(values)]
    return Frames(
        times=times, values=values, reasons=[()] * len(values), cells=Cells(), captures=captures or {}
    )


def line(label: str, *values: float | None) -> Line:
    definition = msgspec.structs.replace(SERIES, label=label)
    return lines_of(1, definition, frames(values))[0]


def test_cells_of_some_repositories_add_up_and_keep_their_flaws() -> None:
    found = frames_of_cells(
        [
            cell(1, JANUARY, 2.0),
            cell(2, JANUARY, 3.0, "incomplete", "missing-object"),
            cell(9, JANUARY, 100.0),
            cell(1, FEBRUARY, 0.0),
            cell(2, FEBRUARY, None, "missing"),
            cell(1, MARCH, None, "missing"),
            cell(2, MARCH, None, "failed", "timeout"),
        ],
        {1, 2},
    )
    assert found.times == [JANUARY, FEBRUARY, MARCH]
    assert found.values == [5.0, 0.0, None]
    assert found.reasons == [("missing-object",), ("not-counted",), ("not-counted", "timeout")]
    assert found.cells == Cells(planned=6, done=4, open=2, failed=1)


def test_a_captured_value_is_zero_where_others_were_counted_and_missing_where_nothing_was() -> None:
    capture = SeriesDefinition(
        series_id=series_id(SeriesIdentity(query="q", kind="capture")),
        label="l",
        query="q",
        unit=TimeUnit.MONTH,
        value=1,
        kind=SeriesKind.CAPTURE,
    )
    found = lines_of(1, capture, frames([2.0, 1.0, None], {"1.0": {JANUARY: 2.0}, "2.0": {FEBRUARY: 1.0}}))
    assert [(one.label, list(one.values)) for one in found] == [
        ("1.0", [2.0, 0.0, None]),
        ("2.0", [0.0, 1.0, None]),
    ]
    assert found[0].series_id == f"{capture.series_id}-1.0"


def test_nothing_known_is_a_line_without_points() -> None:
    assert lines_of(1, SERIES, NOTHING)[0].values == ()


def test_the_default_order_is_by_the_newest_point_ties_by_label() -> None:
    lines = [line("b", 1.0), line("a", 1.0), line("z", 5.0, None), line("none", None)]
    assert [one.label for one in shown(lines, DisplayOptions())] == ["z", "a", "b", "none"]


def test_versions_are_ordered_as_versions_and_stand_before_other_labels() -> None:
    options = DisplayOptions(mode=SortMode.LEXICOGRAPHICAL, direction=SortDirection.ASC)
    labels = ["beta", "v1.10.0", "1.9", "1.10.0-rc.1", "alpha", "2"]
    found = [one.label for one in shown([line(label, 1.0) for label in labels], options)]
    assert found == ["1.9", "1.10.0-rc.1", "v1.10.0", "2", "alpha", "beta"]


def test_by_date_added_is_by_the_first_point() -> None:
    options = DisplayOptions(mode=SortMode.DATE_ADDED, direction=SortDirection.ASC)
    lines = [line("late", None, None, 1.0), line("early", 1.0), line("never", None)]
    assert [one.label for one in shown(lines, options)] == ["early", "late", "never"]


def test_limits_keep_the_first_lines_and_the_newest_frames() -> None:
    lines = [line("a", 3.0, 2.0, 1.0), line("b", 0.0, 0.0, 9.0)]
    (one,) = shown(lines, DisplayOptions(limit=1, samples=2))
    assert (one.label, list(one.times), list(one.values)) == ("b", [FEBRUARY, MARCH], [0.0, 9.0])


APRIL = datetime(2026, 4, 9, 12, 30, tzinfo=UTC)


def test_the_newest_count_is_the_last_point() -> None:
    newest = NewestPoint(time=APRIL, value=9, reasons={"timeout": 2, "not-counted": 1})
    (drawn,) = lines_of(7, SERIES, with_newest(frames([1, 2, 3]), newest))
    assert list(drawn.times) == [JANUARY, FEBRUARY, MARCH, APRIL]
    assert list(drawn.values) == [1, 2, 3, 9]
    assert list(drawn.reasons) == [(), (), (), ("not-counted", "timeout")]
    assert drawn.snapshot == Newest(time=APRIL, value=9, reasons=("not-counted", "timeout"))
    assert drawn.newest_value == 9
    assert list(drawn.newest(2).times) == [MARCH, APRIL]


def test_a_frame_that_is_as_new_ends_the_line() -> None:
    newest = NewestPoint(time=MARCH, value=9, reasons={})
    (drawn,) = lines_of(7, SERIES, with_newest(frames([1, 2, 3]), newest))
    assert list(drawn.values) == [1, 2, 3]
    assert drawn.snapshot == Newest(time=MARCH, value=9, reasons=())


def test_a_frame_that_is_awaited_does_not_hide_it() -> None:
    newest = NewestPoint(time=datetime(2026, 2, 20, tzinfo=UTC), value=9, reasons={})
    (drawn,) = lines_of(7, SERIES, with_newest(frames([1, 2, None]), newest))
    assert list(drawn.values) == [1, 2, 9, None]
    assert list(drawn.times) == sorted(drawn.times)


def test_without_a_snapshot_there_is_no_extra_point() -> None:
    (drawn,) = lines_of(7, SERIES, with_newest(frames([1, None]), None))
    assert (list(drawn.values), drawn.snapshot) == ([1, None], None)


def test_each_captured_value_has_its_newest_count() -> None:
    identity = series_id(SeriesIdentity(query="q", kind="capture"))
    capture = msgspec.structs.replace(SERIES, kind=SeriesKind.CAPTURE, series_id=identity)
    newest = NewestPoint(time=APRIL, value=9, reasons={}, captures={"2": 5.0, "3": 4.0})
    known = frames([3, 4], {"1": {JANUARY: 3.0}, "2": {FEBRUARY: 4.0}})
    drawn = {one.capture: one for one in lines_of(7, capture, with_newest(known, newest))}
    assert {label: list(one.values) for label, one in drawn.items()} == {
        "1": [3, 0, 0],
        "2": [0, 4, 5],
        "3": [0, 0, 4],
    }
    assert {label: one.snapshot.value for label, one in drawn.items() if one.snapshot} == {
        "1": 0,
        "2": 5,
        "3": 4,
    }
