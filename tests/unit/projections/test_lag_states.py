"""The truth table of the states: series of samples as somebody would draw them, and what is to be thought of each.

A series is written as offsets read and ends of the log, a column for each ten seconds. The policies are those of the product, and
looks are as far apart as its sampler's: a little more than it waits. The same ``evaluate`` judges the samples of the running
system (``tests/integration/projections/lag`` makes each state happen there).
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest

from projections.lag.report import POLICIES, policies_for
from projections.lag.states import (
    AGENT_POLICY,
    ALARMS,
    PROJECTION_POLICY,
    SEVERITY,
    Evaluated,
    Policy,
    PolicyRefused,
    Sample,
    State,
    evaluate,
    worst,
)

POLICY = PROJECTION_POLICY
LOOK_S = 5.004
"""From one look to the next: what the sampler waits, and what its own work around it takes."""
TWO_LOOKS_S = 2 * LOOK_S
SHIPPED = sorted(set(POLICIES.values()), key=lambda policy: policy.window_s)
T0 = 1_800_000_000.0
NONE = -1
"""In the row of offsets: nothing was ever committed."""
OUTDATED = "built by another version; nobody folds it; order a rebuild: millstream projection rebuild points"


class Case(NamedTuple):
    """``offsets`` and ``ends``: columns are ``every`` seconds apart. ``age``: of the oldest unread record at the last look."""

    name: str
    offsets: Sequence[int]
    ends: Sequence[int]
    state: State
    says: str
    age: float | None = None
    every: float = TWO_LOOKS_S
    start: int = 0
    readers: int | None = 1
    declared: State | None = None
    words: str = ""
    replaying: str = ""
    outdated: str = ""
    retention: float | None = None


# fmt: off
TABLE = [
    # --- all is well
    Case("caught up",                    [50, 60, 70],                    [50, 60, 70],                    State.OK,   "caught up"),
    Case("caught up, one look only",     [70],                            [70],                            State.OK,   "caught up"),
    Case("caught up, nobody reads",      [70, 70, 70],                    [70, 70, 70],                    State.OK,   "nobody reads", readers=0),
    Case("keeps up, a little behind",    [0, 90, 180, 270, 360, 450, 540],[50, 140, 230, 320, 410, 500, 590], State.OK, "50 records", age=0.5),
    Case("many records, young",          [0, 5000, 10000, 15000, 20000, 25000, 30000],
                                         [2000, 8000, 14000, 20000, 26000, 32000, 38000],                   State.OK,   "8,000 records", age=2.0),
    Case("few records, old, moving",     [0, 1, 2, 3, 4, 5, 6],           [9, 11, 13, 15, 17, 19, 21],     State.OK,   "15 records", age=50.0),
    Case("behind, catches up",           [0, 2000, 4000, 6000, 8000, 10000, 12000], [20000] * 7,            State.OK,   "not falling behind", age=400.0),
    Case("one record waits a moment",    [9, 9, 9],                       [9, 9, 10],                      State.OK,   "1 record", age=4.0),
    # --- falls behind
    Case("lag grows in all quarters",    [0, 100, 200, 300, 400, 500, 600],
                                         [500, 900, 1300, 1700, 2100, 2500, 2900],                         State.WARN, "falls behind", age=40.0),
    Case("grows, with noise of batches", [0, 300, 310, 600, 610, 900, 910],
                                         [500, 900, 1300, 1700, 2100, 2500, 2900],                         State.WARN, "falls behind", age=40.0),
    Case("about to expire",              [0, 10, 20, 30],                 [50, 55, 60, 65],                State.WARN, "expires in 10 min", age=3000.0, retention=3600.0),
    Case("time enough until it expires", [0, 10, 20, 30],                 [50, 55, 60, 65],                State.OK,   "35 records", age=300.0, retention=3600.0),
    # --- does not move
    Case("somebody reads, nothing moves",[7] * 7,                         [8, 9, 10, 11, 12, 13, 14],      State.STALL, "nothing has moved for 60 s", age=61.0),
    Case("one poisoned record",          [7] * 7,                         [8] * 7,                         State.STALL, "1 record wait", age=300.0),
    Case("moved within the window",      [5, 7, 7, 7, 7, 7, 7],           [9] * 7,                         State.OK,   "2 records", age=50.0),
    Case("nobody reads",                 [7] * 4,                         [8, 9, 10, 11],                  State.STOP, "nobody reads", age=31.0, readers=0),
    Case("nobody reads, seen once",      [7],                             [900],                           State.STOP, "nobody reads", age=3600.0, readers=0),
    Case("restarting",                   [5, 7, 7],                       [9, 9, 9],                       State.OK,   "2 records", age=11.0, readers=0),
    Case("its fold is broken",           [7] * 2,                         [9] * 2,                         State.STOP, "KeyError", declared=State.STOP, words="KeyError in fold"),
    # --- went back
    Case("went back",                    [50, 60, 20, 30],                [60, 70, 80, 90],                State.REWIND, "from 60 to 20"),
    Case("went back, and is at 0 again", [50, 60, 20, 70],                [50, 60, 70, 70],                State.REWIND, "10 s ago"),
    Case("went back long ago",           [60, 20, 30, 40, 50, 60, 70, 80, 90, 90, 90], [90] * 11,          State.OK,   "caught up"),
    # --- has not begun
    Case("never committed, nothing there", [NONE],                        [0],                             State.EMPTY, "nothing is on the log"),
    Case("never committed",              [NONE] * 7,                      [5] * 7,                         State.EMPTY, "5 records on the log"),
    # --- says so itself
    Case("is rebuilt",                   [7] * 7,                         [900000] * 7,                    State.REPLAYING, "generation 2", age=9e6, replaying="generation 2 is being rebuilt"),
    Case("is rebuilt, and went back",    [50, 0, 5],                      [90, 90, 90],                    State.REPLAYING, "generation 2", age=9e6, replaying="generation 2 is being rebuilt"),
    Case("rebuilt with nobody reading",  [7] * 7,                         [900] * 7,                       State.REPLAYING, "generation 2", age=9e6, readers=0, replaying="generation 2 is being rebuilt"),
    Case("an event of a newer version",  [7] * 2,                         [9] * 2,                         State.NEEDS_UPGRADE, "version 3", declared=State.NEEDS_UPGRADE, words="version 3 of a type"),
    Case("... in a rebuild, too",        [7] * 2,                         [9] * 2,                         State.NEEDS_UPGRADE, "version 3", declared=State.NEEDS_UPGRADE, words="version 3 of a type", replaying="generation 2"),
    Case("another log, it says",         [7] * 2,                         [9] * 2,                         State.LOG_MISMATCH, "another topic", declared=State.LOG_MISMATCH, words="another topic"),
    Case("another log, seen",            [70] * 2,                        [9] * 2,                         State.LOG_MISMATCH, "70 was to be read next, and the log ends at 9"),
    Case("cut behind it",                [7] * 2,                         [90] * 2,                        State.LOG_TRUNCATED, "13 records deleted unread", start=20),
    Case("expired, but read",            [90] * 2,                        [90] * 2,                        State.OK,   "caught up", start=90),
    # --- made by another build, and no rebuild is open
    Case("another build's, nobody folds it",  [7] * 4,                    [8, 9, 10, 11],                  State.STOP,  "nobody reads", age=31.0, readers=0, outdated=OUTDATED),
    Case("... and says what to do",           [7] * 4,                    [8, 9, 10, 11],                  State.STOP,  "; " + OUTDATED, age=31.0, readers=0, outdated=OUTDATED),
    Case("another build's, and it hangs",     [7] * 7,                    [9] * 7,                         State.STALL, "; " + OUTDATED, age=300.0, outdated=OUTDATED),
    Case("another build's, nothing waits",    [70] * 3,                   [70] * 3,                        State.OK,    "nobody reads; " + OUTDATED, readers=0, outdated=OUTDATED),
    # --- nobody can tell yet
    Case("seen once",                    [7],                             [900],                           State.UNKNOWN, "too short to tell", age=100.0),
    Case("seen for a while",             [7] * 3,                         [900] * 3,                       State.UNKNOWN, "looked at for 20 s", age=100.0),
    Case("moves, no trend yet",          [7, 10],                         [900, 990],                      State.UNKNOWN, "too short for a trend", age=100.0),
    # --- the five well-known false alarms
    Case("#38: slow topic, lag 0, was STOP",     [70] * 7,                [70] * 7,                        State.OK,   "caught up"),
    Case("#123: idle for hours, was STOP",       [70] * 8,                [70] * 8,                        State.OK,   "caught up", every=3600.0),
    Case("#223: a lag of 200, was WARN",         [0, 100, 200, 300, 400, 500, 600],
                                                 [110, 225, 340, 455, 570, 685, 800],                      State.OK,   "200 records", age=1.5),
    Case("#287: commits end, lag was frozen",    [40, 50, 50, 50, 50, 50, 50, 50],
                                                 [50, 50, 60, 70, 80, 90, 100, 110],                       State.STOP, "60 records", age=50.0, readers=0),
    Case("#303: long commit interval, was STOP", [0, 0, 0, 500, 500, 500, 1000],
                                                 [90, 180, 270, 590, 680, 770, 1090],                      State.OK,   "90 records", age=5.0),
]
# fmt: on


def samples(case: Case, shift_s: float = 0.0, looks: int = 1) -> list[Sample]:
    """``looks`` at each column, the first when it has just come to be so."""
    last = len(case.offsets) - 1
    last_s = T0 + last * case.every + shift_s
    return [
        Sample(
            at_s=T0 + (number + look / looks) * case.every + shift_s,
            next_offset=None if offset == NONE else offset,
            start=case.start,
            end=end,
            appended_s=None if case.age is None else last_s - case.age,
            readers=case.readers,
            declared=case.declared,
            words=case.words,
            replaying=case.replaying,
            outdated=case.outdated,
            retention_s=case.retention,
        )
        for number, (offset, end) in enumerate(zip(case.offsets, case.ends, strict=True))
        for look in range(looks if number < last else 1)
    ]


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_the_table(case: Case, looks: int) -> None:
    found = evaluate(samples(case, looks=looks), POLICY)
    assert found.state is case.state, found.reason
    assert case.says in found.reason


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_only_the_samples_tell_the_time(case: Case) -> None:
    assert evaluate(samples(case, shift_s=1e6), POLICY) == evaluate(samples(case), POLICY)


def test_the_table_holds_every_state() -> None:
    assert {case.state for case in TABLE} == set(State)


@pytest.mark.parametrize("looks", [1, 2, 7, 40])
@pytest.mark.parametrize("readers", [0, 1, None])
def test_nothing_is_ever_wrong_at_lag_zero(looks: int, readers: int | None) -> None:
    for every in (1.0, 60.0, 86_400.0):
        idle = Case("idle", [70] * looks, [70] * looks, State.OK, "", every=every, readers=readers)
        assert evaluate(samples(idle), POLICY).state is State.OK


def _history(policy: Policy, every: float, *, readers: int, moved: bool) -> list[tuple[float, State]]:
    """How one partition is judged that does not move, for several windows: (seconds since it stands still, state).

    ``moved``: it had moved before, and something waits only since it stands.
    """
    seen: deque[Sample] = deque(maxlen=int(2 * policy.window_s / every) + 2)
    found = []
    if moved:
        seen.append(Sample(at_s=T0 - every, next_offset=9, start=0, end=9, readers=readers))
    for look in range(int(3 * policy.window_s / every) + 2):
        at_s = T0 + look * every
        seen.append(Sample(at_s=at_s, next_offset=10, start=0, end=500, appended_s=T0, readers=readers))
        found.append((at_s - T0, evaluate(list(seen), policy).state))
    return found


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("every", [2.003, 5.0, LOOK_S, 7.3, 24.9])
@pytest.mark.parametrize("policy", SHIPPED)
def test_what_stands_still_is_stalled_once_it_has_stood_so_long_and_for_as_long_as_it_stands(
    policy: Policy, every: float, moved: bool
) -> None:
    found = _history(policy, every, readers=1, moved=moved)
    first_s = next(at_s for at_s, state in found if state is State.STALL)
    assert policy.stall_after_s <= first_s < policy.stall_after_s + every + 1e-3
    assert not ALARMS & {state for at_s, state in found if at_s < first_s}
    assert {state for at_s, state in found if at_s >= first_s} == {State.STALL}


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("every", [LOOK_S, 24.9])
@pytest.mark.parametrize("policy", SHIPPED)
def test_what_nobody_reads_is_stopped_likewise(policy: Policy, every: float, moved: bool) -> None:
    found = _history(policy, every, readers=0, moved=moved)
    first_s = next(at_s for at_s, state in found if state is State.STOP)
    assert policy.stop_after_s <= first_s < policy.stop_after_s + every + 1e-3
    assert not ALARMS & {state for at_s, state in found if at_s < first_s}
    assert {state for at_s, state in found if at_s >= first_s} == {State.STOP}


@pytest.mark.parametrize("interval_s", [2.0, 5.0, 30.0, 600.0])
def test_however_rarely_somebody_looks_the_alarm_comes(interval_s: float) -> None:
    for policy in policies_for(interval_s).values():
        found = _history(policy, interval_s + 0.004, readers=1, moved=False)
        first_s = next(at_s for at_s, state in found if state is State.STALL)
        assert first_s < policy.stall_after_s + 2 * interval_s
        assert {state for at_s, state in found if at_s >= first_s} == {State.STALL}


def test_looks_as_often_as_shipped_leave_the_shipped_windows() -> None:
    assert policies_for(5.0) == POLICIES
    assert policies_for(1.0) == POLICIES
    assert (PROJECTION_POLICY.window_s, AGENT_POLICY.window_s) == (90.0, 330.0), "docs/lag.md says so"


@pytest.mark.parametrize(
    ("window_s", "stall_after_s", "stop_after_s"),
    [(60.0, 60.0, 30.0), (70.0, 60.0, 30.0), (70.0, 30.0, 60.0)],
)
def test_a_window_that_could_not_hold_what_is_to_be_seen_in_it_is_refused(
    window_s: float, stall_after_s: float, stop_after_s: float
) -> None:
    with pytest.raises(PolicyRefused, match=f"a window of {window_s:g} s") as refused:
        Policy(window_s=window_s, stall_after_s=stall_after_s, stop_after_s=stop_after_s, interval_s=5.0)
    assert refused.value.remedy == "Let window_s be more than 70 s."


def test_old_samples_do_not_count() -> None:
    case = Case("", [60, 20, 30, 40, 50, 60, 70], [90] * 7, State.OK, "", age=1.0)
    assert evaluate(samples(case), POLICY).state is State.REWIND
    assert evaluate(samples(case)[1:], POLICY).state is State.OK


@pytest.mark.parametrize("policy", SHIPPED)
def test_a_way_back_is_told_as_long_as_the_window_is(policy: Policy) -> None:
    seen = [
        Sample(at_s=T0 + look * LOOK_S, next_offset=60 + look, start=0, end=999, appended_s=T0)
        for look in range(3)
    ]
    told_s = []
    for look in range(3, int(2 * policy.window_s / LOOK_S)):
        at_s = T0 + look * LOOK_S
        seen.append(Sample(at_s=at_s, next_offset=20 + look, start=0, end=999, appended_s=at_s))
        if evaluate(seen, policy).state is State.REWIND:
            told_s.append(at_s)
    assert policy.window_s - 2 * LOOK_S < told_s[-1] - told_s[0] <= policy.window_s
    assert told_s[-1] - told_s[0] > 60.0, (
        "at least one evaluation of the alert rules (infra/prometheus) sees it"
    )


def test_without_samples_nothing_is_known() -> None:
    assert evaluate([], POLICY).state is State.UNKNOWN


def _said(state: State, reason: str = "why") -> Evaluated:
    return Evaluated(state=state, reason=reason)


def test_a_group_does_as_badly_as_its_worst_partition() -> None:
    for better, worse in pairwise(state for state in State if state is not State.EMPTY):
        found = worst([("t/0", _said(better)), ("t/1", _said(worse)), ("t/2", _said(better))])
        assert found.state is worse
        assert found.reason.startswith("t/1: why")


def test_a_group_says_how_many_of_its_partitions_do_as_badly() -> None:
    found = worst([("t/0", _said(State.STALL)), ("t/1", _said(State.STALL)), ("t/2", _said(State.OK))])
    assert found.reason == "t/0: why (and 1 more alike)"


def test_partitions_without_a_commit_count_only_when_all_are() -> None:
    assert worst([("t/0", _said(State.EMPTY)), ("t/1", _said(State.OK, "caught up"))]).state is State.OK
    assert worst([("t/0", _said(State.EMPTY)), ("t/1", _said(State.EMPTY))]).state is State.EMPTY
    assert worst([]).state is State.EMPTY


def test_alarms_are_the_worst_states() -> None:
    calm = set(State) - ALARMS
    assert max(SEVERITY[state] for state in calm) < min(SEVERITY[state] for state in ALARMS)


def test_a_clock_that_is_behind_the_broker_s_makes_no_negative_age() -> None:
    ahead = Sample(at_s=T0, next_offset=5, start=0, end=6, appended_s=T0 + 3_600)
    assert ahead.seconds == 0.0
