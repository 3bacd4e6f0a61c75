"""Who is counted when, on a whole system: fair turns at a rate, people's decisions, settings that act at once."""

import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

import pytest

from schemas.events import Lane, RecordingRequest, RecordingRequested, RequestedSeries
from schemas.grid import Interval, TimeUnit
from schemas.ids import SeriesIdentity, new_event_id, repository_id, series_id
from tests.support.dispatching import BURST, CONCURRENCY, FEW, FRAMES, MANY, RATE, Crowd, crowd, name_of
from tests.support.system import eventually, running_system

ALL: Final = range(MANY)
SOME: Final = range(FEW)
OPEN: Final = frozenset(("queued", "errored", "processing"))
_JOBS: Final = "live.insights_query_runner_jobs"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with running_system({"MILLSTREAM_WORKER_HANDLERS": "2"}) as system:
        found = crowd(system, tmp_path_factory.mktemp("crowd"))
        try:
            yield found
        finally:
            found.publisher.close()
            found.database.close()


@pytest.fixture
def limited(home: Crowd) -> Iterator[Crowd]:
    """20 requests a second, 20 at once; without limits afterwards."""
    home.set(BURST, 20)
    home.set(RATE, 20)
    try:
        yield home
    finally:
        home.set(RATE, None)
        home.set(CONCURRENCY, None)


@pytest.mark.parametrize("other", ["admin", "somebody else"], ids=["one creator", "two creators"])
def test_a_small_insight_is_done_while_a_large_one_goes_on(limited: Crowd, other: str) -> None:
    large = limited.create(f"large for {other}", f"needle {other}", ALL, "admin")
    limited.wait_asked(large, MANY)
    began_s = time.monotonic()
    small = limited.create(f"small for {other}", f"needle small {other}", SOME, other)
    eventually(
        lambda: limited.states(small).get("completed", 0) == FEW,
        "the small one to be counted",
        timeout_s=60.0,
    )
    took_s = time.monotonic() - began_s
    states = limited.states(large)
    left = MANY - states.get("completed", 0)
    _say(f"small done after {took_s:.2f} s, {left} of {MANY} of the large one open")
    assert took_s < 10.0
    assert left >= 0.8 * MANY
    assert states.get("completed", 0) > 0, "it goes on beside the small one"
    _end(limited, large)


def test_after_a_cancellation_at_most_what_was_in_flight_is_dispatched(limited: Crowd) -> None:
    number = 400
    insight = limited.create("to be cancelled", "needle cancelled", range(number), "admin")
    limited.wait_asked(insight, number)
    eventually(lambda: limited.states(insight).get("completed", 0) >= 20, "some to be counted")
    limited.system.cli("insight", "cancel", str(insight))
    eventually(
        lambda: sum(limited.states(insight).get(state, 0) for state in ("completed", "failed")) == number,
        "everything to have an outcome",
    )
    (cancelled_at,) = limited.rows(
        "select cancelled_at from live.insight_backfill_controls where insight_id = %s", insight
    )[0]
    later = limited.one(
        f"select count(*) from {_JOBS} where insight_id = %s and dispatched_at > %s", insight, cancelled_at
    )
    in_flight = limited.one(
        f"select count(*) from {_JOBS} where insight_id = %s and dispatched_at <= %s and completed_at > %s",
        insight,
        cancelled_at,
        cancelled_at,
    )
    states = limited.states(insight)
    _say(f"{later} dispatched after the cancellation, {in_flight} in flight at it; {states}")
    assert later <= max(in_flight, 5), "a look that had begun, at 20 a second"
    assert states["failed"] >= 0.5 * number
    reasons = limited.rows(
        f"select distinct failed_reason from {_JOBS} where insight_id = %s and failed_final", insight
    )
    assert reasons == [("cancelled",)]
    limited.set(RATE, None)
    limited.system.cli("insight", "retry", str(insight))
    eventually(
        lambda: limited.states(insight).get("completed", 0) == number, "all to be counted", timeout_s=120.0
    )
    shown = limited.system.graphql(
        "query ($find: String) { insightAdminBackfillQueue(textSearch: $find) { totalCount nodes {"
        " backfillQueueStatus { state percentComplete } } } }",
        {"find": "to be cancelled"},
    )["insightAdminBackfillQueue"]
    assert shown["totalCount"] == 1
    assert shown["nodes"][0]["backfillQueueStatus"]["percentComplete"] == 100


def test_paused_moved_resumed(limited: Crowd) -> None:
    first = limited.create("goes first", "needle first", range(400), "admin")
    second = limited.create("goes second", "needle second", range(400), "somebody else")
    limited.wait_asked(first, 400)
    limited.wait_asked(second, 400)
    limited.system.cli("insight", "pause", str(first))
    before = limited.states(first)
    mark = limited.states(second).get("completed", 0)
    eventually(lambda: limited.states(second).get("completed", 0) >= mark + 40, "the other to go on")
    moved = limited.states(first).get("completed", 0) - before.get("completed", 0)
    assert moved <= before.get("processing", 0) + 5, "only what was in flight"
    limited.system.cli("insight", "resume", str(first))
    limited.system.cli("insight", "move", str(first), "--to", "front")
    mark, other = limited.states(first).get("completed", 0), limited.states(second).get("completed", 0)
    eventually(lambda: limited.states(first).get("completed", 0) >= mark + 40, "the moved one to go on")
    assert limited.states(second).get("completed", 0) - other <= 15, "it goes before all others"
    _end(limited, first)
    _end(limited, second)


def test_settings_act_within_a_second(limited: Crowd) -> None:
    limited.set(BURST, 1)
    limited.set(RATE, 2)
    insight = limited.create("hot", "needle hot", ALL, "admin")
    limited.wait_asked(insight, MANY)
    since = limited.one("select now()")
    time.sleep(3.0)  # a rate is seen over a stretch of time
    slow = _dispatched_since(limited, insight, since)
    limited.set(RATE, 60)
    since = limited.one("select now()")
    eventually(
        lambda: _dispatched_since(limited, insight, since) >= 20,
        "twenty at the new rate",
        timeout_s=10.0,
    )
    first, twentieth = limited.rows(
        f"select min(dispatched_at), (array_agg(dispatched_at order by dispatched_at))[20] from {_JOBS} "
        "where insight_id = %s and dispatched_at > %s",
        insight,
        since,
    )[0]
    _say(f"{slow} in 3 s at 2/s; at 60/s the first after {first - since}, twenty after {twentieth - since}")
    assert slow <= 12
    assert (twentieth - since).total_seconds() < 1.5, "it acts within a second"
    limited.set(CONCURRENCY, 1)
    limited.set(RATE, None)
    time.sleep(1.0)  # from here on the cap has to hold
    peak = 0
    for _ in range(100):
        peak = max(peak, limited.states(insight).get("processing", 0))
    left = limited.states(insight).get("queued", 0)
    _say(f"at most {peak} at once under a cap of 1, {left} queued afterwards")
    assert peak == 1, "fewer than the two that the worker has hands for"
    assert left > 0, "there was work all the while"
    _end(limited, insight)


def test_interactive_work_is_answered_under_a_full_backfill(home: Crowd) -> None:
    home.set(RATE, None)
    insight = home.create("busy", "needle busy", ALL, "admin")
    home.wait_asked(insight, MANY)
    chosen = sorted(repository_id(name_of(place)) for place in ALL)
    identity = series_id(SeriesIdentity(query="needle busy", repositories=chosen))
    index = Interval(TimeUnit.MONTH).newest(FRAMES, datetime.now(UTC))[-1]
    waits_s: list[float] = []
    for place in range(20):
        request = RecordingRequest(
            request_id=new_event_id(),
            repository_id=repository_id(name_of(place)),
            insight_id=insight,
            creator="somebody who waits",
            lane=Lane.INTERACTIVE,
            series=[
                RequestedSeries(
                    series_id=identity,
                    query="needle busy",
                    unit=TimeUnit.MONTH,
                    value=1,
                    frames=[(index, index + 1)],
                )
            ],
        )
        began_s = time.monotonic()
        home.say(RecordingRequested(request=request))
        eventually(
            partial(
                home.rows,
                f"select 1 from {_JOBS} where request_id = %s and state = 'completed'",
                request.request_id,
            ),
            "the interactive request to be counted",
            timeout_s=30.0,
            poll_s=0.01,
        )
        waits_s.append(time.monotonic() - began_s)
    still = MANY - home.states(insight).get("completed", 0)
    p95_s = statistics.quantiles(waits_s, n=20)[-1]
    _say(
        f"interactive p50 {statistics.median(waits_s):.2f} s, p95 {p95_s:.2f} s; {still} of the backfill open"
    )
    assert still > 0, "the backfill was going on until the last answer"
    assert p95_s < 5.0
    _end(home, insight)


def test_a_paused_projection_causes_no_second_request(limited: Crowd) -> None:
    insight = limited.create("seen late", "needle late", range(300), "admin")
    limited.wait_asked(insight, 300)
    eventually(lambda: limited.states(insight).get("completed", 0) >= 10, "it to have begun")
    (pid,) = limited.rows(
        "select pid from runtime.heartbeats where process like 'projector%%' order by seen_at desc"
    )[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(5.0)  # several looks of the dispatcher, and the work of a hundred requests
    finally:
        os.kill(pid, signal.SIGCONT)
    limited.set(RATE, None)
    eventually(lambda: limited.states(insight) == {"completed": 300}, "all to be counted", timeout_s=120.0)
    attempts = limited.rows(
        f"select max(dispatched_attempt), max(completed_attempt), max(failed_attempt) from {_JOBS} where insight_id = %s",
        insight,
    )
    assert attempts == [(1, 1, None)]


def _end(home: Crowd, insight: int) -> None:
    """Let nothing of it wait, so that the next test finds an empty queue."""
    home.set(RATE, None)
    home.set(CONCURRENCY, None)
    home.system.cli("insight", "cancel", str(insight))
    eventually(lambda: not OPEN & home.states(insight).keys(), "an empty queue", timeout_s=120.0)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _dispatched_since(home: Crowd, insight: int, since: datetime) -> int:
    found = home.one(
        f"select count(*) from {_JOBS} where insight_id = %s and dispatched_at > %s", insight, since
    )
    return int(found)
