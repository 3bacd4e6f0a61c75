"""How long a repository rests for a monitor that fails there."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import FiringCause
from streams.monitors.backoff import FIRST, LONGEST, FailedRun, rests_until

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PUSH, TICK, ASKED = FiringCause.PUSH.value, FiringCause.TICK.value, FiringCause.ASKED.value


def failed(*causes: str) -> list[FailedRun]:
    """One a day, the last of them now."""
    first = NOW - timedelta(days=len(causes) - 1)
    return [FailedRun(first + timedelta(days=number), cause) for number, cause in enumerate(causes)]


def minutes(*causes: str) -> float:
    until = rests_until(failed(*causes))
    assert until is not None
    return (until - NOW) / timedelta(minutes=1)


def test_nothing_that_failed_rests() -> None:
    assert rests_until([]) is None


def test_each_failure_doubles_the_rest_up_to_a_day() -> None:
    found = [minutes(PUSH, *[TICK] * more) for more in range(11)]
    assert found == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_who_asks_begins_anew() -> None:
    assert minutes(PUSH, TICK, TICK, ASKED) == 5
    assert minutes(PUSH, TICK, TICK, ASKED, TICK) == 10


@given(st.permutations(failed(PUSH, TICK, ASKED, TICK, TICK)))
def test_the_order_in_which_they_are_read_does_not_matter(read: list[FailedRun]) -> None:
    assert rests_until(read) == NOW + 4 * FIRST


@given(st.integers(1, 10_000))
def test_it_is_never_longer_than_the_longest(count: int) -> None:
    assert rests_until([FailedRun(NOW, TICK)] * count) in {NOW + FIRST * 2**n for n in range(9)} | {
        NOW + LONGEST
    }
