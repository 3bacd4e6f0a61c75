"""People's decisions about a backfill, and a projection that stands still, on a whole system: what is dispatched after them."""

import os
import signal
import time

from tests.support.dispatching import JOBS, RATE, Crowd, end, say
from tests.support.system import eventually

REPOSITORIES = 400


def test_after_a_cancellation_at_most_what_was_in_flight_is_dispatched(limited: Crowd) -> None:
    number = 400
    limited.set(RATE, 5)  # whatever time the planning takes, most of them are still to come
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
        f"select count(*) from {JOBS} where insight_id = %s and dispatched_at > %s", insight, cancelled_at
    )
    in_flight = limited.one(
        f"select count(*) from {JOBS} where insight_id = %s and dispatched_at <= %s and completed_at > %s",
        insight,
        cancelled_at,
        cancelled_at,
    )
    states = limited.states(insight)
    say(f"{later} dispatched after the cancellation, {in_flight} in flight at it; {states}")
    assert later <= max(in_flight, 5), "a look that had begun, at 5 a second"
    assert states["failed"] >= 0.5 * number
    reasons = limited.rows(
        f"select distinct failed_reason from {JOBS} where insight_id = %s and failed_final", insight
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
    end(limited, first)
    end(limited, second)


def test_a_paused_projection_causes_no_second_request(limited: Crowd) -> None:
    insight = limited.create("seen late", "needle late", range(150), "admin")
    limited.wait_asked(insight, 150)
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
    eventually(lambda: limited.states(insight) == {"completed": 150}, "all to be counted", timeout_s=120.0)
    attempts = limited.rows(
        f"select max(dispatched_attempt), max(completed_attempt), max(failed_attempt) from {JOBS} where insight_id = %s",
        insight,
    )
    assert attempts == [(1, 1, None)]
