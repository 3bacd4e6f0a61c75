"""What a passed grid instant and a push make due, by example and at the ends of time."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.events import Lane, PlanCause, RecordingRequest, SeriesKind, SnapshotTarget
from schemas.grid import Interval, TimeUnit
from streams.bases import Base, rebased
from streams.insights import requests as asking
from streams.insights.due import (
    MOST_CAUGHT_UP,
    Due,
    Open,
    due_at,
    due_series,
    open_of,
    owned_series,
    recording_plans,
    recording_requests,
    snapshot_requests,
)
from streams.insights.plan import Definition, Newest, plans_of, requests_of, scopes_of
from streams.insights.scope import Repository
from tests.unit.streams.events import definition

HOUR = Interval(TimeUnit.HOUR)
CREATED = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
REPOSITORIES = [Repository(number, f"example.org/r{number}", False, False) for number in (1, 2, 3)]
TIP, OLD, OLDER = "c" * 40, "b" * 40, "a" * 40


def insight(
    insight_id: int,
    *queries: str,
    created_at: datetime = CREATED,
    unit: TimeUnit = TimeUnit.HOUR,
    frames: int = 3,
) -> Definition:
    return Definition(
        insight_id=insight_id,
        creator=f"creator {insight_id}",
        created_at=created_at,
        frames=frames,
        series=tuple(definition(query, unit=unit) for query in queries),
    )


def opened(
    due: Due, planned: list[tuple[int, int]] | None = None, covered: list[tuple[int, int]] | None = None
) -> Open:
    found = open_of(due, planned or [], covered or [])
    assert found is not None
    return found


def test_nothing_is_due_before_the_next_instant_and_one_frame_after_it() -> None:
    assert due_series([insight(7, "a")], CREATED + timedelta(minutes=29)) == []
    (due,) = due_series([insight(7, "a")], CREATED + timedelta(minutes=30))
    assert (HOUR.instant(due.first), due.end - due.first) == (datetime(2026, 11, 22, 16, tzinfo=UTC), 1)


def test_what_was_missed_is_due_up_to_a_bound() -> None:
    (due,) = due_series([insight(7, "a")], CREATED + timedelta(days=2))
    assert due.end - due.first == 48
    (due,) = due_series([insight(7, "a", created_at=datetime(1970, 1, 1, tzinfo=UTC))], CREATED)
    assert due.end - due.first == MOST_CAUGHT_UP


def test_a_series_of_two_insights_is_due_once_since_the_older_and_asked_for_the_first() -> None:
    late = CREATED + timedelta(hours=5)
    dues = due_series([insight(9, "a"), insight(7, "b", "a", created_at=late)], late + timedelta(hours=1))
    assert {(due.series.query, due.owned.insight_id, due.end - due.first) for due in dues} == {
        ("a", 7, 6),
        ("b", 7, 1),
    }


@pytest.mark.parametrize("unit", TimeUnit)
@pytest.mark.parametrize("value", [1, 7, 1000])
def test_the_ends_of_time_break_nothing(unit: TimeUnit, value: int) -> None:
    for created_at in (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 4, 23, 59, tzinfo=UTC),
        datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC),
    ):
        series = definition("a", unit=unit, value=value)
        one = Definition(insight_id=7, creator="me", created_at=created_at, frames=5, series=(series,))
        scopes = scopes_of(one, REPOSITORIES)
        for request in requests_of(one, scopes, {}):
            assert msgspec.json.decode(msgspec.json.encode(request), type=RecordingRequest) == request
        assert plans_of(one, scopes, PlanCause.INSIGHT_CREATED, [])
        for now in (created_at, CREATED, datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)):
            dues = due_series([one], now)
            if not dues:
                continue
            assert due_at(0.5, dues, 3600.0) >= datetime(1970, 1, 1, tzinfo=UTC)
            found = {1: [opened(due) for due in dues]}
            assert recording_requests(1, found[1])
            assert recording_plans(found, [])


def test_before_the_first_week_there_is_no_frame_and_the_newest_state_is_asked_alone() -> None:
    one = insight(7, "a", created_at=datetime(1970, 1, 3, tzinfo=UTC), unit=TimeUnit.WEEK)
    scopes = scopes_of(one, REPOSITORIES[:1])
    assert list(requests_of(one, scopes, {})) == []
    target = SnapshotTarget(commit=TIP, pushed_offset=4)
    (request,) = requests_of(one, scopes, {}, Newest({1: target}))
    assert (request.snapshot, [(line.frames, line.snapshot) for line in request.series]) == (
        target,
        [([], True)],
    )


def test_a_backfill_carries_the_newest_state_where_it_is_not_known() -> None:
    one = insight(7, "a", "b")
    scopes = scopes_of(one, REPOSITORIES[:2])
    first, second = (line.series_id for line in one.series)
    target = SnapshotTarget(commit=TIP, pushed_offset=4)
    newest = Newest({1: target}, {(first, 1): 4, (second, 1): 3})
    with_newest, without = requests_of(one, scopes, {}, newest)
    assert with_newest.snapshot == target
    assert [line.snapshot for line in with_newest.series] == [False, True]
    assert without.snapshot is None
    assert [request.request_id for request in requests_of(one, scopes, {})] == [
        with_newest.request_id,
        without.request_id,
    ], "the id says what is planned, not what is known"


def test_one_request_per_repository_with_ids_that_do_not_depend_on_what_is_counted() -> None:
    dues = due_series([insight(7, "a"), insight(8, "b")], CREATED + timedelta(hours=2))
    (request,) = recording_requests(1, [opened(due) for due in dues])
    assert (request.lane, request.insight_id, request.creator) == (Lane.SCHEDULED, 7, "creator 7")
    assert [line.frames for line in request.series] == [[(due.first, due.end)] for due in dues]
    (first, last) = (dues[0].first, dues[0].end)
    (half,) = recording_requests(1, [opened(dues[0], covered=[(first, first + 1)]), opened(dues[1])])
    assert half.request_id == request.request_id
    assert half.series[0].frames == [(first + 1, last)]
    (other,) = recording_requests(2, [opened(due) for due in dues])
    assert other.request_id != request.request_id
    covered = [(first, last)]
    assert recording_requests(1, [opened(due, covered=covered) for due in dues]) == []
    assert open_of(dues[0], [(first - 3, last)], []) is None


def test_requests_stay_below_what_an_event_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [insight(number, f"query {number}") for number in range(1, 121)]
    dues = due_series(many, CREATED + timedelta(hours=MOST_CAUGHT_UP + 5))
    found = recording_requests(1, [opened(due) for due in dues])
    assert [len(one.series) for one in found] == [100, 20], "100,000 cells at most"
    assert [(one.split, one.of) for one in found] == [(1, 2), (2, 2)]
    monkeypatch.setattr(asking, "MAX_REQUEST_BYTES", 1_000)
    assert len(recording_requests(1, [opened(due) for due in dues[:10]])) > 1
    owned = list(owned_series(many).values())
    split = snapshot_requests(1, SnapshotTarget(commit=TIP, pushed_offset=9), owned, {}, 1)
    assert len({one.request_id for one in split}) == len(split) > 1


def test_turns_are_spread_over_at_most_half_an_interval() -> None:
    dues = due_series([insight(7, "a")], CREATED + timedelta(hours=1))
    instant = HOUR.instant(dues[0].end - 1)
    assert due_at(0.0, dues, 600.0) == instant
    assert due_at(0.5, dues, 600.0) == instant + timedelta(seconds=300)
    assert due_at(0.5, dues, 86_400.0) == instant + timedelta(seconds=900)


def test_plans_say_once_what_was_asked_and_differ_where_it_does() -> None:
    dues = due_series([insight(7, "a", "b"), insight(8, "c")], CREATED + timedelta(hours=2))
    everywhere = {number: [opened(due) for due in dues] for number in (1, 2)}
    plans = recording_plans(everywhere, ["x/0@1"])
    assert [plan.insight_id for _, plan in plans] == [7, 8]
    assert {plan.cause for _, plan in plans} == {PlanCause.RECORDING_DUE}
    (scope,) = plans[0][1].scopes
    assert (len(scope.series), scope.repositories) == (2, [1, 2])
    assert recording_plans(everywhere, ["x/0@2"])[0][0] == plans[0][0], "another leader says the same"
    fewer = recording_plans({1: everywhere[1]}, [])
    assert {event_id for event_id, _ in fewer}.isdisjoint(event_id for event_id, _ in plans)
    assert recording_plans({}, []) == []


LIMITS, OTHER_LIMITS = "0" * 15 + "1", "0" * 15 + "2"


def base(
    value: int,
    commit: str | None,
    pushed_offset: int,
    *,
    whole: bool = True,
    matcher: int = 1,
    limits: str | None = LIMITS,
) -> Base:
    return Base(value, commit, pushed_offset, matcher, limits, whole)


def test_a_push_asks_by_difference_where_a_whole_count_is_known() -> None:
    owned = list(owned_series([insight(7, *"abcdefgh")]).values())
    named = {one.series.query: one.series.series_id for one in owned}
    known = {
        named["a"]: base(5, OLD, 6),
        named["b"]: base(0, OLD, 6),
        named["c"]: base(5, OLDER, 4),
        named["d"]: base(5, OLD, 6, whole=False),
        named["e"]: base(5, OLD, 6, matcher=2),
        named["g"]: base(5, OLD, 6, limits=None),
        named["h"]: base(5, OLD, 5, limits=OTHER_LIMITS),
    }
    target = SnapshotTarget(commit=TIP, pushed_offset=8)
    (request,) = snapshot_requests(3, target, owned, known, 1)
    assert request.lane is Lane.SCHEDULED
    assert request.snapshot == SnapshotTarget(
        commit=TIP, pushed_offset=8, base_commit=OLD, base_limits=LIMITS
    )
    assert {line.query: line.base_value for line in request.series} == {
        "a": 5, "b": 0, "c": None, "d": None, "e": None, "f": None, "g": None, "h": None,
    }  # fmt: skip
    assert all(line.snapshot and line.frames == [] for line in request.series)
    assert rebased(request, known, 1) == request
    (forged, *others) = request.series
    lied = msgspec.structs.replace(
        request,
        series=[msgspec.structs.replace(forged, base_value=10**12), *others],
        snapshot=SnapshotTarget(commit=TIP, pushed_offset=8, base_commit=TIP, base_limits=OTHER_LIMITS),
    )
    assert rebased(lied, known, 1) == request, "only what is known is a base"
    unknown = rebased(lied, {}, 1)
    assert unknown.snapshot == target
    assert [line.base_value for line in unknown.series] == [None] * 8


def test_a_push_that_was_counted_is_not_asked_again_and_a_capture_has_no_base() -> None:
    captured = definition("patternType:regexp (x)", kind=SeriesKind.CAPTURE, unit=TimeUnit.HOUR)
    one = Definition(
        insight_id=7, creator="me", created_at=CREATED, frames=1, series=(captured, definition("a"))
    )
    owned = list(owned_series([one]).values())
    target = SnapshotTarget(commit=None, pushed_offset=8)
    known = {captured.series_id: base(5, OLD, 6), owned[1].series.series_id: base(5, TIP, 8)}
    (request,) = snapshot_requests(3, target, owned, known, 1)
    assert [(line.series_id, line.base_value) for line in request.series] == [(captured.series_id, None)]
    assert request.snapshot == target
    assert snapshot_requests(3, target, owned[1:], known, 1) == []
    assert snapshot_requests(3, target, [], known, 1) == []
