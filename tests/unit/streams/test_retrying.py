"""What a retry asks for: what is planned and not counted, under ids of its own."""

from schemas.events import Lane, SnapshotTarget
from streams.insights.plan import Definition, Known, Newest
from streams.insights.retrying import retried_plan_id, retried_requests
from tests.unit.streams.events import NOW, definition

ONE, TWO = definition("one"), definition("two")
INSIGHT = Definition(insight_id=7, creator="me", created_at=NOW, frames=12, series=(ONE, TWO))
KNOWN = Known(
    planned={
        (ONE.series_id, 1): [(600, 612)],
        (TWO.series_id, 1): [(600, 612)],
        (ONE.series_id, 2): [(600, 612)],
        (ONE.series_id, 3): [(600, 612)],
        (ONE.series_id, 4): [(600, 612)],
    },
    covered={
        (ONE.series_id, 1): [(603, 612)],
        (TWO.series_id, 1): [(600, 612)],
        (ONE.series_id, 2): [(600, 612)],
    },
)


def test_only_what_is_missing_is_asked_for() -> None:
    [first] = retried_requests(INSIGHT, KNOWN, "retry-1", followed=[1, 2, 3, 9], busy=[3])
    assert (first.repository_id, first.insight_id, first.lane, first.creator) == (1, 7, Lane.BACKFILL, "me")
    assert [(one.series_id, one.frames) for one in first.series] == [(ONE.series_id, [(600, 603)])]
    assert first.snapshot is None


def test_a_newest_state_that_is_not_counted_is_asked_for_too() -> None:
    target = SnapshotTarget(commit="c" * 40, pushed_offset=5)
    newest = Newest({1: target, 2: target}, {(TWO.series_id, 1): 5, (ONE.series_id, 2): 4})
    known = Known(covered=KNOWN.covered, planned=KNOWN.planned, newest=newest)
    found = {one.repository_id: one for one in retried_requests(INSIGHT, known, "r", [1, 2], [])}
    assert [(one.series_id, one.snapshot) for one in found[1].series] == [(ONE.series_id, True)]
    assert [(one.frames, one.snapshot) for one in found[2].series] == [([], True)]
    assert found[2].snapshot == target


def test_ids_follow_from_the_retry() -> None:
    def ids(retry_id: str) -> list[str]:
        return [one.request_id for one in retried_requests(INSIGHT, KNOWN, retry_id, [1, 4], [])]

    assert ids("a") == ids("a"), "planned twice, said the same"
    assert not set(ids("a")) & set(ids("b")), "another retry is another request"
    assert retried_plan_id(7, "a") != retried_plan_id(7, "b")
