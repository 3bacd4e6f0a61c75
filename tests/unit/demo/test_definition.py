"""The demo's insight: an interval that spans the history, and a key that finds it again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.demo.choices import Chosen
from api.demo.definition import FRAMES, MONTHLY, QueryRefused, check_query, migration, of_own_code, spanning
from schemas.grid import Interval, TimeUnit

NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("oldest", "expected"),
    [
        (NOW, Interval(TimeUnit.HOUR, 1)),
        (NOW - timedelta(hours=12), Interval(TimeUnit.HOUR, 1)),
        (NOW - timedelta(hours=13), Interval(TimeUnit.HOUR, 2)),
        (NOW - timedelta(days=3), Interval(TimeUnit.HOUR, 6)),
        (NOW - timedelta(days=12), Interval(TimeUnit.DAY, 1)),
        (NOW - timedelta(days=60), Interval(TimeUnit.WEEK, 1)),
        (NOW - timedelta(days=365), Interval(TimeUnit.MONTH, 1)),
        (NOW - timedelta(days=730), Interval(TimeUnit.MONTH, 2)),
        (NOW - timedelta(days=365 * 6 - 40), Interval(TimeUnit.MONTH, 6)),
        (NOW - timedelta(days=365 * 11), Interval(TimeUnit.YEAR, 1)),
        (datetime(1970, 1, 1, tzinfo=UTC), Interval(TimeUnit.YEAR, 5)),
    ],
)
def test_interval_spans_the_history(oldest: datetime, expected: Interval) -> None:
    interval = spanning(oldest, NOW)
    assert interval == expected
    frames = interval.newest(FRAMES, NOW)
    assert interval.instant(frames.start - 1) <= oldest
    assert interval.instant(frames.stop - 1) <= NOW


def chosen(name: str, oldest: datetime | None = None) -> Chosen:
    return Chosen(name, path=Path("/x") / name, oldest=oldest)


def test_migration_is_monthly_with_an_old_and_a_new_series() -> None:
    wish = migration([chosen("sample/b"), chosen("sample/a")])
    assert wish.interval == MONTHLY
    assert [series.query for series in wish.series] == ["legacy_client.", "gateway."]
    assert wish.repositories == ("sample/a", "sample/b")


def test_own_code_counts_todo_and_fixme_unless_told_otherwise() -> None:
    wish = of_own_code([chosen("local/app", NOW - timedelta(days=800))], "", NOW)
    assert [series.query for series in wish.series] == ["TODO", "FIXME"]
    assert wish.title == "TODO and FIXME in local/app"
    assert wish.interval == Interval(TimeUnit.MONTH, 3)
    (series,) = of_own_code([chosen("local/app")], "old_api lang:go", NOW).series
    assert (series.label, series.query) == ("old_api lang:go", "old_api lang:go")


def test_key_is_the_same_for_the_same_question_only() -> None:
    repositories = [chosen("local/a", NOW - timedelta(days=100)), chosen("local/b")]
    key = of_own_code(repositories, "x", NOW).idempotency_key
    assert of_own_code(repositories[::-1], "x", NOW + timedelta(days=900)).idempotency_key == key
    others = [
        of_own_code(repositories, "y", NOW),
        of_own_code(repositories[:1], "x", NOW),
        of_own_code(repositories, "", NOW),
    ]
    assert len({key, *(wish.idempotency_key for wish in others)}) == 4


def test_query_is_checked_before_anything_is_started() -> None:
    check_query("")
    check_query("old_api( lang:go")
    with pytest.raises(QueryRefused, match="at position 2") as refusal:
        check_query("x author:me")
    assert "^^^" in str(refusal.value)
    assert refusal.value.remedy
