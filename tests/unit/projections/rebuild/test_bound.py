"""A replay whose end is moved while it goes on: every record passes once, in order, and none too early."""

from hypothesis import given
from hypothesis import strategies as st

from projections.runner.bound import Bound, Gate
from schemas.envelope import Record


def _record(partition: int, offset: int) -> Record:
    return Record("a", partition, offset, 0, None, None, ())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 5)),
            st.tuples(st.just("move"), st.integers(0, 1), st.integers(0, 40)),
            st.tuples(st.just("release"), st.just(0), st.integers(1, 4)),
        ),
        max_size=60,
    )
)
def test_whatever_is_read_passes_once_in_order_and_never_before_its_end(
    steps: list[tuple[str, int, int]],
) -> None:
    bound = Bound({("a", 0): 3, ("a", 1): 0})
    gate = Gate(bound, most_kept=4)
    read = [0, 0]
    passed: dict[int, list[int]] = {0: [], 1: []}
    for kind, partition, number in steps:
        if kind == "move":
            bound.move({("a", partition): number})
            continue
        if kind == "read":
            records = [_record(partition, read[partition] + n) for n in range(number)]
            read[partition] += number
            through = gate.passed(records)
        else:
            through = gate.released(number)
            assert len(through) <= number
        for one in through:
            passed[one.partition].append(one.offset)
            assert one.offset < bound.ends()["a", one.partition]
    for _ in range(200):
        for one in gate.released(10):
            passed[one.partition].append(one.offset)
    ends = bound.ends()
    for partition in (0, 1):
        assert passed[partition] == list(range(min(read[partition], ends["a", partition])))


def test_an_end_never_moves_back_and_no_partition_is_added() -> None:
    bound = Bound({("a", 0): 5})
    bound.move({("a", 0): 3, ("b", 0): 9})
    assert (bound.ends(), bound.moves) == ({("a", 0): 5}, 0)
    bound.move({("a", 0): 6})
    assert (bound.ends(), bound.moves) == ({("a", 0): 6}, 1)


def test_a_partition_of_which_enough_waits_is_paused_until_it_is_drained() -> None:
    bound = Bound({("a", 0): 0})
    gate = Gate(bound, most_kept=3)
    assert gate.passed([_record(0, offset) for offset in range(4)]) == []
    assert (gate.pause(), gate.pause()) == ([("a", 0)], [])
    bound.move({("a", 0): 2})
    assert [one.offset for one in gate.released(100)] == [0, 1]
    assert gate.resume() == []
    bound.move({("a", 0): 100})
    assert [one.offset for one in gate.released(100)] == [2, 3]
    assert gate.resume() == [("a", 0)]
    assert [one.offset for one in gate.passed([_record(0, 4)])] == [4]


def test_large_records_wait_within_a_bound_of_bytes() -> None:
    bound = Bound({("a", 0): 0, ("a", 1): 0})
    gate = Gate(bound, most_kept_bytes=1_000)

    def large(partition: int, offset: int) -> Record:
        return Record("a", partition, offset, 0, None, bytes(400), ())

    assert gate.passed([large(0, 0), large(1, 0)]) == []
    assert gate.pause() == []
    assert gate.passed([large(0, 1)]) == []
    assert sorted(gate.pause()) == [("a", 0), ("a", 1)], "together they are more than a thousand bytes"
    bound.move({("a", 0): 9, ("a", 1): 9})
    assert len(gate.released(9)) == 3
    assert sorted(gate.resume()) == [("a", 0), ("a", 1)]
    assert gate.passed([large(0, 2)]) != []
    assert gate.pause() == []
