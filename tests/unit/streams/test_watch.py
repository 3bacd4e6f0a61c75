"""When something owed is overdue: never while the agent has it before it, never before the deadline."""

from schemas.envelope import Position
from streams.obligations.obligation import Owed
from streams.obligations.watch import Watch

DEADLINE_S = 10.0
PLACE = ("millstream.insights", 0)
FIRST = Owed(aggregate_id=1, subject="1", opened=Position(*PLACE, 4))
SECOND = Owed(aggregate_id=2, subject="2", opened=Position(*PLACE, 5))


def late(watch: Watch, passed: int, now_s: float, *owed: Owed) -> list[int]:
    return [one.aggregate_id for one in watch.late(owed, {PLACE: passed}, now_s, DEADLINE_S)]


def test_a_backlog_is_not_late_however_long_it_lasts() -> None:
    watch = Watch()
    assert [late(watch, 4, now_s, FIRST) for now_s in (0.0, 50.0, 1_000.0)] == [[], [], []]


def test_the_deadline_runs_from_when_the_event_was_seen_passed() -> None:
    watch = Watch()
    assert late(watch, 4, 100.0, FIRST, SECOND) == []
    assert late(watch, 5, 200.0, FIRST, SECOND) == []
    assert late(watch, 6, 205.0, FIRST, SECOND) == []
    assert late(watch, 6, 210.0, FIRST, SECOND) == [1]
    assert late(watch, 6, 215.0, FIRST, SECOND) == [1, 2]


def test_what_was_passed_stays_passed_when_a_group_loses_its_offsets() -> None:
    watch = Watch()
    late(watch, 5, 0.0, FIRST)
    assert late(watch, 0, DEADLINE_S, FIRST) == [1]


def test_what_is_closed_is_forgotten_and_a_renewed_one_begins_anew() -> None:
    watch = Watch()
    late(watch, 5, 0.0, FIRST)
    assert late(watch, 5, 5.0) == []
    assert watch.passed_at_s == {}
    again = Owed(aggregate_id=1, subject="1", opened=Position(*PLACE, 9), attempt=2)
    assert late(watch, 9, 20.0, again) == [], "the renewal is still before the agent"
    assert late(watch, 10, 21.0, again) == []
    assert late(watch, 10, 31.0, again) == [1]


def test_what_was_found_to_be_met_is_not_asked_again() -> None:
    watch = Watch()
    late(watch, 5, 0.0, FIRST)
    watch.met.add(FIRST.key)
    assert late(watch, 5, 100.0, FIRST) == []


def test_what_was_found_to_be_met_is_forgotten_once_it_is_not_open() -> None:
    watch = Watch(met={FIRST.key, SECOND.key})
    assert late(watch, 6, 0.0, FIRST) == []
    assert watch.met == {FIRST.key}
    assert late(watch, 6, 1.0) == []
    assert watch.met == set()
