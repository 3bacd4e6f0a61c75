"""When records that are no events stop a projection, and when they do not."""

import pytest

from projections.runner.errors import FoldFailed
from projections.runner.flood import Breaker, FloodPolicy

POLICY = FloodPolicy(run_events=100, letters=1_000, letters_share=0.5, least_letters=20)


def check(breaker: Breaker, records: int, letters: int, in_generation: int | None = None) -> None:
    """One batch: looked at, then committed."""
    breaker.check_letters(letters if in_generation is None else in_generation, records, letters, "first")
    breaker.passed(records, letters=letters)


def test_a_few_bad_records_on_a_quiet_topic_are_no_flood() -> None:
    breaker = Breaker(POLICY)
    for _ in range(19):
        check(breaker, 1, 1)
    with pytest.raises(FoldFailed, match=r"20 of the last 20 records \(more than 50%\)"):
        check(breaker, 1, 1)


def test_half_of_the_recent_run_may_be_bad_and_no_more() -> None:
    breaker = Breaker(POLICY)
    for _ in range(50):
        check(breaker, 2, 1)
    check(breaker, 10, 5)
    with pytest.raises(FoldFailed, match="flooded with records that are no events"):
        check(breaker, 60, 60)


def test_what_is_kept_is_bounded_however_slowly_it_came() -> None:
    breaker = Breaker(POLICY)
    check(breaker, 100, 1, in_generation=1_000)
    with pytest.raises(FoldFailed, match="1001 are kept, more than 1000") as raised:
        check(breaker, 100, 1, in_generation=1_001)
    assert "drop-flood" in raised.value.remedy
