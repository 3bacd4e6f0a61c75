"""The UTC grid, by a table of vectors."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.grid import Interval, TimeUnit

HOUR, DAY, WEEK, MONTH, YEAR = TimeUnit.HOUR, TimeUnit.DAY, TimeUnit.WEEK, TimeUnit.MONTH, TimeUnit.YEAR


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("unit", "value", "instant", "newest", "after"),
    [
        (MONTH, 1, "2021-08-27T15:29:00Z", "2021-08-01T00:00:00Z", "2021-09-01T00:00:00Z"),
        (MONTH, 1, "2021-09-01T00:00:00Z", "2021-09-01T00:00:00Z", "2021-10-01T00:00:00Z"),
        (MONTH, 1, "2021-12-31T23:59:59.999999Z", "2021-12-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        (MONTH, 1, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        (MONTH, 1, "2023-01-31T12:00:00Z", "2023-01-01T00:00:00Z", "2023-02-01T00:00:00Z"),
        (MONTH, 2, "2021-08-27T15:29:00Z", "2021-07-01T00:00:00Z", "2021-09-01T00:00:00Z"),
        (MONTH, 3, "2021-08-27T15:29:00Z", "2021-07-01T00:00:00Z", "2021-10-01T00:00:00Z"),
        (MONTH, 5, "2021-08-27T15:29:00Z", "2021-04-01T00:00:00Z", "2021-09-01T00:00:00Z"),
        (MONTH, 12, "2021-08-27T15:29:00Z", "2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        (WEEK, 1, "2020-12-31T10:00:00Z", "2020-12-28T00:00:00Z", "2021-01-04T00:00:00Z"),
        (WEEK, 1, "2021-01-03T23:59:59Z", "2020-12-28T00:00:00Z", "2021-01-04T00:00:00Z"),
        (WEEK, 1, "2021-01-04T00:00:00Z", "2021-01-04T00:00:00Z", "2021-01-11T00:00:00Z"),
        (WEEK, 2, "2021-01-03T00:00:00Z", "2020-12-28T00:00:00Z", "2021-01-11T00:00:00Z"),
        (WEEK, 1, "1970-01-05T00:00:00Z", "1970-01-05T00:00:00Z", "1970-01-12T00:00:00Z"),
        (DAY, 1, "2024-02-29T23:59:59Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        (DAY, 1, "2023-02-28T23:59:59Z", "2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z"),
        (DAY, 7, "1970-01-10T00:00:00Z", "1970-01-08T00:00:00Z", "1970-01-15T00:00:00Z"),
        (HOUR, 1, "2021-03-28T01:30:00Z", "2021-03-28T01:00:00Z", "2021-03-28T02:00:00Z"),
        (HOUR, 6, "2021-03-28T17:59:59Z", "2021-03-28T12:00:00Z", "2021-03-28T18:00:00Z"),
        (YEAR, 1, "2021-08-27T15:29:00Z", "2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        (YEAR, 2, "2021-08-27T15:29:00Z", "2020-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
    ],
)
def test_newest_and_next_instant(unit: TimeUnit, value: int, instant: str, newest: str, after: str) -> None:
    interval = Interval(unit, value)
    assert interval.instant(interval.index_at(at(instant))) == at(newest)
    assert interval.next_after(at(instant)) == at(after)


def test_indexes_count_from_1970() -> None:
    assert Interval(MONTH).index_at(at("1970-01-01T00:00:00Z")) == 0
    assert Interval(MONTH).index_at(at("2021-09-01T00:00:00Z")) == 51 * 12 + 8
    assert Interval(WEEK).index_at(at("1970-01-05T00:00:00Z")) == 0
    assert Interval(DAY).index_at(at("1970-01-02T00:00:00Z")) == 1
    assert Interval(YEAR, 10).instant(5) == at("2020-01-01T00:00:00Z")


def test_the_zone_of_the_question_makes_no_difference() -> None:
    local = datetime(2021, 9, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Interval(MONTH).instant(Interval(MONTH).index_at(local)) == at("2021-08-01T00:00:00Z")


def test_a_backfill_takes_the_newest_instants_not_after_creation() -> None:
    months = Interval(MONTH)
    instants = [months.instant(index) for index in months.newest(3, at("2021-01-15T00:00:00Z"))]
    assert instants == [at("2020-11-01T00:00:00Z"), at("2020-12-01T00:00:00Z"), at("2021-01-01T00:00:00Z")]


def test_a_backfill_does_not_reach_behind_1970() -> None:
    years = Interval(YEAR, 10)
    instants = [years.instant(index).year for index in years.newest(1000, at("2026-01-15T00:00:00Z"))]
    assert instants == [1970, 1980, 1990, 2000, 2010, 2020]


@given(
    st.sampled_from(TimeUnit),
    st.integers(1, 1000),
    st.datetimes(datetime(1970, 1, 5), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
def test_every_moment_lies_between_its_instant_and_the_next(
    unit: TimeUnit, value: int, moment: datetime
) -> None:
    interval = Interval(unit, value)
    index = interval.index_at(moment)
    assert interval.instant(index) <= moment < interval.next_after(moment)
    assert interval.index_at(interval.instant(index)) == index
