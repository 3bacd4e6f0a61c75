"""Where a group shall read next, and what moving it means."""

from datetime import UTC, datetime

import pytest

from api.groups.kinds import Kind, ResetRefused, kind_of, refuse_projection, warnings
from api.groups.targets import Move, To, Wish, moves
from infra.kafka.admin import Watermarks
from infra.topics import HANDS_APP, HEADS_APP
from schemas.topics import Topic

MARKS = {("t", 0): Watermarks(10, 100), ("t", 1): Watermarks(0, 0)}
COMMITTED = {("t", 0): 50}


def after(wish: Wish, at_time: dict[tuple[str, int], int | None] | None = None) -> list[int | None]:
    return [one.after for one in moves(wish, MARKS, COMMITTED, at_time or {})]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(to=To.EARLIEST), [10, 0]),
        (Wish(to=To.LATEST), [100, 0]),
        (Wish(to=To.OFFSET, number=60), [60, 0]),
        (Wish(to=To.OFFSET, number=5), [10, 0]),
        (Wish(to=To.SHIFT, number=-20), [30, None]),
        (Wish(to=To.SHIFT, number=1_000), [100, None]),
        (Wish(to=To.SHIFT, number=-1_000), [10, None]),
    ],
)
def test_a_wish_is_an_offset_of_each_partition_within_its_log(wish: Wish, expected: list[int | None]) -> None:
    assert after(wish) == expected


def test_a_time_is_the_first_record_since_then_or_the_end() -> None:
    wish = Wish(to=To.TIME, time=datetime(2026, 1, 1, tzinfo=UTC))
    found = moves(wish, MARKS, COMMITTED, {("t", 0): 70, ("t", 1): None})
    assert [one.after for one in found] == [70, 0]
    assert found[1].note == "nothing was appended since then"


def test_what_was_cut_to_the_log_and_what_cannot_be_shifted_says_so() -> None:
    far, without = moves(Wish(to=To.SHIFT, number=-1_000), MARKS, COMMITTED, {})
    assert far.note == "-950 is not on the log, which goes from 10 to 100"
    assert (without.changes, without.note) == (False, "nothing was committed: there is nothing to shift")


@pytest.mark.parametrize(
    ("before", "to", "again", "left_out"),
    [(50, 20, 30, 0), (50, 80, 0, 30), (None, 40, 0, 30), (5, 20, 0, 10), (50, 50, 0, 0)],
)
def test_records_read_again_and_never_are_counted(
    before: int | None, to: int, again: int, left_out: int
) -> None:
    move = Move(topic="t", partition=0, before=before, after=to)
    assert (move.again(MARKS["t", 0]), move.left_out(MARKS["t", 0])) == (again, left_out)


def test_a_projections_group_is_refused_and_points_to_the_rebuild() -> None:
    group = "millstream.projection.series_points.g12"
    assert kind_of(group) is Kind.PROJECTION
    with pytest.raises(ResetRefused) as caught:
        refuse_projection(group)
    assert caught.value.remedy == "millstream projection rebuild series_points"
    refuse_projection("somebody.else")


def test_of_agents_it_is_said_what_is_done_twice_and_what_not() -> None:
    (twice,) = warnings(HEADS_APP, Topic.INSIGHTS, 3, 0)
    assert "3 records will be worked on again by planner.insights (insight.plan)" in twice
    assert "the same ids" in twice
    (work,) = warnings(HANDS_APP, Topic.WORK_BACKGROUND, 2, 0)
    assert "counted once more" in work
    (skipped,) = warnings(HEADS_APP, Topic.INSIGHTS, 0, 4)
    assert "asked for again by the reconciler" in skipped
    assert warnings("somebody.else", Topic.INSIGHTS, 3, 4) == []
