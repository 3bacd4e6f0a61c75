"""Where generations stand: how far one is filled, what is left, and when both may be compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.admin import Watermarks
from projections.rebuild.dry_run import part
from projections.rebuild.errors import RebuildFailed
from projections.rebuild.vectors import (
    behind,
    ends_beside,
    named,
    progress,
    require_same_log,
    require_whole,
    same,
    share,
    unnamed,
)
from projections.rebuild.watch import Rate
from projections.runner.checkpoint import Checkpoint

MARKS = {"a": {0: Watermarks(0, 10), 1: Watermarks(0, 4)}, "new": {0: Watermarks(2, 7)}}


def test_it_is_filled_up_to_the_live_generation_and_no_further() -> None:
    assert ends_beside(MARKS, {("a", 0): 6, ("a", 1): 4}) == {("a", 0): 6, ("a", 1): 4, ("new", 0): 7}
    assert ends_beside(MARKS, {("a", 0): 6})[("a", 1)] == 0, "a partition that it has not begun"


def _folded(next_offset: int, *, topic_id: bytes = b"a", start: str = "a") -> Checkpoint:
    return Checkpoint(
        topic=start,
        partition=0,
        cluster_id="c",
        topic_id=topic_id,
        epoch=1,
        next_offset=next_offset,
        last_offset=next_offset - 1,
        last_crc32=7,
    )


def test_beside_a_generation_of_another_log_none_is_filled() -> None:
    ids = {"a": b"a", "new": b"n"}
    require_same_log([_folded(10), _folded(99, start="read no more")], "c", ids, MARKS)
    with pytest.raises(RebuildFailed, match=r"LOG_MISMATCH: a/0 ends at 10, and 11 was") as refused:
        require_same_log([_folded(11)], "c", ids, MARKS)
    assert refused.value.remedy
    with pytest.raises(RebuildFailed, match="LOG_MISMATCH: a/0 is another topic"):
        require_same_log([_folded(5, topic_id=b"b")], "c", ids, MARKS)
    with pytest.raises(RebuildFailed, match="LOG_MISMATCH: a/0 is another topic"):
        require_same_log([_folded(5)], "another cluster", ids, MARKS)
    require_same_log(
        [_folded(1, topic_id=b"n", start="new")], "c", ids, MARKS
    )  # cut: refused where it matters


def test_progress_counts_what_is_read_and_nothing_twice() -> None:
    begins, ends = {("a", 0): 5, ("a", 1): 0}, {("a", 0): 10, ("a", 1): 4}
    assert (progress(begins, ends, {}).done, progress(begins, ends, {}).of_all) == (0, 9)
    assert progress(begins, ends, {("a", 0): 8}).left == 6
    assert progress(begins, ends, {("a", 0): 30, ("a", 1): 4}).done == 9


def test_a_topic_of_truth_that_was_cut_is_refused() -> None:
    cut = {"a": {0: Watermarks(3, 10)}}
    with pytest.raises(RebuildFailed, match="LOG_TRUNCATED: a/0 begins at 3"):
        require_whole(cut, set(), {})
    require_whole(cut, {"a"}, {})
    require_whole(cut, set(), {("a", 0): 3})


def test_one_vector() -> None:
    live = {("a", 0): 6, ("work", 0): 3}
    assert same({("a", 0): 6, ("work", 0): 3}, live, frozenset())
    assert not same({("a", 0): 5, ("work", 0): 3}, live, frozenset())
    assert not same({("a", 0): 6, ("work", 0): 8}, live, frozenset())
    assert same({("a", 0): 6, ("work", 0): 8}, live, frozenset({"work"})), "it has expired meanwhile"
    assert behind({("a", 0): 4}, live) == {("a", 0): 2, ("work", 0): 3}


def test_partition_n_of_all_topics_has_one_worker() -> None:
    places = [(topic, number) for topic in ("a", "b") for number in range(8)]
    parts = [share(places, worker, 3) for worker in range(3)]
    assert sorted(place for found in parts for place in found) == sorted(places)
    assert all(len({number % 3 for _, number in found}) == 1 for found in parts)


@given(st.dictionaries(st.tuples(st.sampled_from(["a", "b/c", "d"]), st.integers(0, 40)), st.integers(0)))
def test_names_of_places_can_be_read_again(vector: dict[tuple[str, int], int]) -> None:
    assert unnamed(named(vector)) == vector


@given(
    st.dictionaries(st.tuples(st.just("a"), st.integers(0, 9)), st.integers(0, 10_000)), st.integers(1, 500)
)
def test_a_sample_takes_the_same_share_of_all(ends: dict[tuple[str, int], int], most: int) -> None:
    found = part({}, ends, most)
    assert all(0 <= at <= ends[place] for place, at in found.items())
    total = sum(ends.values())
    assert min(most, total) <= sum(found.values()) + 1e-6 <= min(most, total) + len(ends) + 1


def test_a_rate_follows_what_happens() -> None:
    rate = Rate()
    assert rate.seen(0, 0.0) == 0.0
    assert rate.seen(1_000, 1.0) == 1_000.0
    for second in range(2, 40):
        last = rate.seen(1_000 + (second - 1) * 500, float(second))
    assert last == pytest.approx(500.0, rel=0.01)
