"""A time up to which everything is applied, although partitions stand still or have nothing to say."""

from datetime import timedelta

from api.web.answers import AsOf
from api.web.answers import freshness as page_freshness
from projections.freshness import Freshness, freshness
from projections.reading import AppliedPosition
from tests.support.projecting import T0

LATER = T0 + timedelta(hours=1)
ENDS = {("a", 0): 10, ("a", 1): 5}


def _at(partition: int, next_offset: int, hours: int | None) -> AppliedPosition:
    time = None if hours is None else T0 + timedelta(hours=hours)
    return AppliedPosition(
        topic="a", partition=partition, next_offset=next_offset, applied_at=time, append_time=time
    )


def test_with_every_end_reached_it_is_the_newest_event() -> None:
    found = freshness([_at(0, 10, 1), _at(1, 5, 0)], ENDS)
    assert found == Freshness(applied_up_to=LATER, behind=False)


def test_a_partition_that_stands_still_holds_the_time_back_and_says_so() -> None:
    found = freshness([_at(0, 10, 1), _at(1, 4, 0)], ENDS)
    assert found == Freshness(applied_up_to=T0, behind=True)
    assert freshness([_at(0, 10, 1), _at(1, 0, None)], ENDS) == Freshness(applied_up_to=None, behind=True)


def test_without_a_look_at_the_ends_nobody_knows() -> None:
    assert freshness([_at(0, 10, 1)], {}) == Freshness(applied_up_to=LATER, behind=None)


def test_a_page_shows_the_slowest_projection_that_is_behind() -> None:
    idle = AsOf("repositories", applied_up_to=T0 - timedelta(days=300), behind=False)
    newest = AsOf("insights", applied_up_to=LATER, behind=False)
    assert page_freshness([idle, newest]).applied_at == LATER
    page = page_freshness([idle, newest, AsOf("series_points", applied_up_to=T0, behind=True)])
    assert (page.applied_at, page.behind) == (T0, True)
    page = page_freshness([newest, AsOf("series_points", applied_up_to=None, behind=True)])
    assert (page.applied_at, page.behind) == (None, True)
