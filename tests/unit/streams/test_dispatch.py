"""Which requests are dispatched together, and how many may be in flight."""

from schemas.events import Lane, SearchFailed
from schemas.topics import Topic
from streams.recordings import dispatch
from streams.recordings.dispatch import (
    Outcome,
    Outstanding,
    cells_of,
    dispatches,
    is_too_large,
    pause_after_s,
    reckon,
)
from streams.recordings.refusals import CANCELLED, TOO_LARGE, Refusal
from streams.recordings.window import FIRST_GUESS_PER_S, PER_HANDLER, WORK_IN_FLIGHT_S, Window
from tests.unit.streams.events import NOW, dispatched, request, requested


def test_small_requests_of_one_partition_and_lane_share_an_event() -> None:
    requests = [dispatched(request(number)) for number in range(6)]
    requests.append(dispatched(request(7, lane=Lane.INTERACTIVE)))
    partition_of = {number: number % 2 for number in range(8)}
    found = dispatches(requests, partition_of, NOW)
    assert [(one.topic, [r.request.repository_id for r in one.payload.requests]) for one in found] == [
        (Topic.WORK_BACKGROUND, [0, 2, 4]),
        (Topic.WORK_BACKGROUND, [1, 3, 5]),
        (Topic.WORK_INTERACTIVE, [7]),
    ]


def test_large_requests_go_alone_and_events_are_bounded() -> None:
    large = request(1, series=[requested("x" * 9_000), requested("y" * 9_000)])
    small = [dispatched(request(2, insight_id=number)) for number in range(dispatch.MAX_EVENT_REQUESTS + 1)]
    found = dispatches([dispatched(large), *small], {1: 0, 2: 0}, NOW)
    assert [len(one.payload.requests) for one in found] == [1, dispatch.MAX_EVENT_REQUESTS, 1]


def test_the_cells_of_an_event_are_bounded_together() -> None:
    wide = [
        dispatched(request(1, insight_id=number, series=[requested(frames=[(0, 10_000)])]))
        for number in range(15)
    ]
    found = dispatches(wide, {1: 0}, NOW)
    assert [len(one.payload.requests) for one in found] == [10, 5]
    assert sum(cells_of(one.request) for one in found[0].payload.requests) == dispatch.MAX_EVENT_CELLS


def test_a_request_that_no_event_can_carry_is_told() -> None:
    many = [requested("x" * 9_900 + str(number)) for number in range(100)]
    assert not is_too_large(dispatched(request(1)))
    assert is_too_large(dispatched(request(1, series=many)))
    refusal = Refusal(request(1, series=many), 1, TOO_LARGE).event("//t", NOW)
    again = Refusal(request(1, series=many), 1, TOO_LARGE).event("//t", NOW)
    cancelled = Refusal(request(1, series=many), 1, CANCELLED).event("//t", NOW)
    assert refusal.id == again.id != cancelled.id
    assert isinstance(refusal.data, SearchFailed)
    assert (refusal.data.final, len(refusal.data.series)) == (True, 100)


def test_ids_follow_from_requests_and_attempts() -> None:
    def event_id(*attempts: int) -> str:
        requests = [dispatched(request(number), attempt) for number, attempt in enumerate(attempts)]
        return dispatches(requests, dict.fromkeys(range(9), 0), NOW)[0].event_id

    assert event_id(1, 1) == event_id(1, 1)
    assert len({event_id(1, 1), event_id(1, 2), event_id(1), event_id(2)}) == 4


def test_memory_is_kept_until_the_projection_shows_an_outcome() -> None:
    memory = {
        (1, name): Outstanding(Lane.BACKFILL, 2)
        for name in ("unknown", "queued", "working", "done", "failed", "again")
    }
    # Another repository's request of the same id says nothing about these.
    shown = {
        (2, "unknown"): Outcome(ended=True, dispatched_attempt=2, failed_attempt=2),
        (1, "queued"): Outcome(ended=False, dispatched_attempt=1, failed_attempt=1),
        (1, "working"): Outcome(ended=False, dispatched_attempt=2, failed_attempt=1),
        (1, "done"): Outcome(ended=True, dispatched_attempt=2, failed_attempt=1),
        (1, "failed"): Outcome(ended=True, dispatched_attempt=2, failed_attempt=2),
        (1, "again"): Outcome(ended=False, dispatched_attempt=2, failed_attempt=2),
    }
    reckoning = reckon(memory, shown)
    assert set(reckoning.left) == {(1, "unknown"), (1, "queued"), (1, "working")}
    assert reckoning.visible == {(1, "working")}
    assert reckoning.errored == {(1, "again"): 2}
    assert pause_after_s(2) > pause_after_s(1) > 0


def test_a_window_starts_with_a_guess_and_follows_the_measured_rate() -> None:
    window = Window()
    assert window.size(2) == round(WORK_IN_FLIGHT_S * FIRST_GUESS_PER_S * 2)
    now_s = 0.0
    window.observe(0, in_flight=30, now=now_s)
    for _ in range(20):
        now_s += 0.5
        window.observe(100, in_flight=30, now=now_s)
    assert 350 < window.size(2) <= 400, "two seconds at 200 per second"
    for _ in range(20):
        now_s += 0.5
        window.observe(0, in_flight=8, now=now_s)
    assert window.size(2) == 2 * PER_HANDLER, "never below what keeps the handlers busy"


def test_idle_time_says_nothing_about_the_rate() -> None:
    window = Window()
    window.observe(0, in_flight=1, now=0.0)
    window.observe(50, in_flight=10, now=1.0)
    rate = window.rate_per_s
    for second in range(2, 60):
        window.observe(0, in_flight=0, now=float(second))
    assert window.rate_per_s == rate
