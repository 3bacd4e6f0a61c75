"""Who is counted when, on a whole system with 2,000 repositories: fair turns at a rate, and settings that act at once."""

import statistics
import time
from datetime import UTC, datetime
from functools import partial
from typing import Final

import pytest

from schemas.events import Lane, RecordingRequest, RecordingRequested, RequestedSeries
from schemas.grid import Interval, TimeUnit
from schemas.ids import SeriesIdentity, new_event_id, repository_id, series_id
from tests.support.dispatching import (
    BURST,
    CONCURRENCY,
    FEW,
    FRAMES,
    JOBS,
    MANY,
    RATE,
    Crowd,
    end,
    name_of,
    say,
)
from tests.support.system import eventually

ALL: Final = range(MANY)
SOME: Final = range(FEW)


def test_all_are_ready_to_be_counted(home: Crowd) -> None:
    """First and not alone: the crowd is made beside other tests, for a minute, and those below have the machine."""
    states = home.rows("select clone_state, count(*) from live.repo_names group by 1")
    assert states == [("ready", MANY)]


@pytest.mark.alone
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
    say(f"small done after {took_s:.2f} s, {left} of {MANY} of the large one open")
    assert took_s < 10.0
    assert left >= 0.8 * MANY
    assert states.get("completed", 0) > 0, "it goes on beside the small one"
    end(limited, large)


@pytest.mark.alone
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
        f"select min(dispatched_at), (array_agg(dispatched_at order by dispatched_at))[20] from {JOBS} "
        "where insight_id = %s and dispatched_at > %s",
        insight,
        since,
    )[0]
    say(f"{slow} in 3 s at 2/s; at 60/s the first after {first - since}, twenty after {twentieth - since}")
    assert slow <= 12
    assert (twentieth - since).total_seconds() < 1.5, "it acts within a second"
    limited.set(CONCURRENCY, 1)
    limited.set(RATE, None)
    time.sleep(1.0)  # from here on the cap has to hold
    seen = [limited.states(insight).get("processing", 0) for _ in range(100)]
    if not any(seen):  # a hundred looks are over sooner than the next one is asked for
        seen.append(eventually(lambda: limited.states(insight).get("processing", 0), "one at work"))
    peak = max(seen)
    left = limited.states(insight).get("queued", 0)
    say(f"at most {peak} at once under a cap of 1, {left} queued afterwards")
    assert peak == 1, "fewer than the two that the worker has hands for"
    assert left > 0, "there was work all the while"
    end(limited, insight)


@pytest.mark.alone
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
                f"select 1 from {JOBS} where request_id = %s and state = 'completed'",
                request.request_id,
            ),
            "the interactive request to be counted",
            timeout_s=30.0,
            poll_s=0.01,
        )
        waits_s.append(time.monotonic() - began_s)
    still = MANY - home.states(insight).get("completed", 0)
    p95_s = statistics.quantiles(waits_s, n=20)[-1]
    say(
        f"interactive p50 {statistics.median(waits_s):.2f} s, p95 {p95_s:.2f} s; {still} of the backfill open"
    )
    assert still > 0, "the backfill was going on until the last answer"
    assert p95_s < 5.0
    end(home, insight)


def _dispatched_since(home: Crowd, insight: int, since: datetime) -> int:
    found = home.one(
        f"select count(*) from {JOBS} where insight_id = %s and dispatched_at > %s", insight, since
    )
    return int(found)
