"""Two streams of rows: what is gone, what is extra, what differs, and how many."""

import random

from projections.catalogue import EVENT_INDEX, RECORDINGS
from projections.verification.comparing import SHOWN_CHARACTERS, Compared, Kind, Row, compare
from projections.verification.contents import contents

KEYS = ("name", "number")
COLUMNS = ("value", "note")


def _compare(live: list[Row], replayed: list[Row], shown: int = 10) -> Compared:
    return compare("t", KEYS, COLUMNS, live, replayed, shown=shown)


def _rows(values: dict[tuple[str, int], int]) -> list[Row]:
    return [(*key, value, None) for key, value in sorted(values.items())]


def test_equal_streams_have_no_difference() -> None:
    rows: list[Row] = [("a", 1, 2.0, None), ("a", 2, 2.0, "x")]
    found = _compare(rows, list(rows))
    assert (found.rows, found.different, found.differences) == (2, 0, [])
    assert _compare([], []).rows == 0


def test_each_kind_is_told_by_key_and_values() -> None:
    live: list[Row] = [("a", 1, 1, "n"), ("b", 1, 5, None), ("ä", 1, 9, "n")]
    replayed: list[Row] = [("a", 1, 2, None), ("a", 2, 0, "gone"), ("ä", 1, 9, "n")]
    found = _compare(live, replayed)
    assert (found.rows, found.different) == (4, 3)
    assert [str(one) for one in found.differences] == [
        "t[name='a', number=1] value: live 1, replayed 2",
        "t[name='a', number=1] note: live 'n', replayed null",
        "t[name='a', number=2] is missing in the live generation: replayed value=0, note='gone'",
        "t[name='b', number=1] is in the live generation only: value=5, note=None",
    ]


def test_all_are_counted_and_the_first_are_kept() -> None:
    live: list[Row] = [("a", number, 0, "x" * 1_000) for number in range(50)]
    found = _compare(live, [], shown=3)
    assert (found.different, len(found.differences)) == (50, 3)
    assert all(one.kind is Kind.EXTRA for one in found.differences)
    assert max(len(one.live or "") for one in found.differences) == SHOWN_CHARACTERS
    assert _compare(live, [], shown=0).different == 50


def test_any_two_tables_are_told_apart_row_by_row() -> None:
    random_ = random.Random(7)
    for _ in range(200):
        keys = [(random_.choice("aAzé"), number) for number in random_.sample(range(9), 5)]
        left = {key: random_.randrange(2) for key in keys if random_.random() < 0.7}
        right = {key: random_.randrange(2) for key in keys if random_.random() < 0.7}
        found = _compare(_rows(left), _rows(right))
        assert found.rows == len(left.keys() | right.keys())
        assert {one.key for one in found.differences} == {
            f"name={name!r}, number={number}"
            for name, number in left.keys() | right.keys()
            if left.get((name, number)) != right.get((name, number))
        }


def test_bookkeeping_is_out_and_a_row_that_is_bookkeeping_alone_too() -> None:
    jobs = next(one for one in contents(RECORDINGS, {}, {}) if one.table == "insights_query_runner_jobs")
    assert not {"state", "dispatched_at", "deadline"} & set(jobs.columns)
    assert "num_nonnulls(" in jobs.of("g1")
    assert jobs.of("g1").endswith('order by "repository_id", "request_id" collate "C"')


def test_rows_of_records_that_have_expired_are_out() -> None:
    starts = {("millstream.work.background", 3): 17}
    (events, *runner) = contents(EVENT_INDEX, {("millstream.results", 0): 5}, starts)
    gone = "not ((topic = 'millstream.work.background' and partition = 3 and \"offset\" < 17))"
    assert gone in events.query
    checkpoints = next(one for one in runner if one.table == "checkpoints")
    assert "(topic, partition) in (('millstream.results', 0))" in checkpoints.query
    assert not {"epoch", "applied_at", "state"} & set(checkpoints.columns)
    assert {one.table for one in runner} >= {
        "dead_letters",
        "verdicts",
        "guards",
        "guard_events",
        "quarantine",
    }
