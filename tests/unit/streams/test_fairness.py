"""Whose turn it is: tables of small queues, and properties over all of them."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Lane
from streams.recordings.fairness import MAX_WORK, FairShare, Flow, LaneTurns, work_of
from tests.unit.streams.events import request, requested

Queues = dict[Flow, list[tuple[int, float]]]
WORK = st.floats(1.0, 100.0)


def queues_of(**works: list[float]) -> Queues:
    """``a_7=[...]``: creator a's insight 7, the works of its requests."""
    return {
        (name.split("_")[0], int(name.split("_")[1])): list(enumerate(mine)) for name, mine in works.items()
    }


def served(share: FairShare, queues: Queues, rounds: int, room: int = 1) -> list[Flow]:
    """Who is served when ``room`` requests go in each of ``rounds`` looks; all charged, none put back."""
    left = {flow: list(items) for flow, items in queues.items()}
    found: list[Flow] = []
    for _ in range(rounds):
        for flow, _ in share.chosen(left, room):
            _, work = left[flow].pop(0)
            share.charge(flow, work)
            found.append(flow)
        left = {flow: items for flow, items in left.items() if items}
    return found


@pytest.mark.parametrize(
    ("works", "room", "expected"),
    [
        ({"a_1": [1.0] * 9, "b_2": [1.0] * 2}, 5, {("a", 1): 3, ("b", 2): 2}),
        ({"a_1": [1.0] * 9, "a_2": [1.0] * 9, "b_3": [1.0] * 9}, 8, {("a", 1): 2, ("a", 2): 2, ("b", 3): 4}),
        ({"a_1": [3.0] * 9, "b_2": [1.0] * 9}, 8, {("a", 1): 2, ("b", 2): 6}),
        ({"a_1": [1.0] * 3}, 8, {("a", 1): 3}),
        ({}, 8, {}),
    ],
)
def test_shares(works: dict[str, list[float]], room: int, expected: dict[Flow, int]) -> None:
    share = FairShare()
    queues = queues_of(**works)
    found = share.chosen(queues, room)
    assert Counter(flow for flow, _ in found) == expected
    assert [(flow, item) for flow, item in found] == share.chosen(queues, room), "choosing charges nothing"


def test_in_one_queue_nothing_is_overtaken() -> None:
    found = FairShare().chosen(queues_of(a_1=[1.0] * 5, b_2=[9.0] * 5), 10)
    for flow in (("a", 1), ("b", 2)):
        assert [item for at, item in found if at == flow] == list(range(5))


def test_who_was_alone_has_no_debt_and_who_was_away_no_credit() -> None:
    share = FairShare()
    served(share, queues_of(a_1=[1.0] * 1_000), rounds=100, room=10)
    found = served(share, queues_of(a_1=[1.0] * 50, b_2=[1.0] * 50), rounds=40)
    counts = Counter(creator for creator, _ in found)
    assert abs(counts["a"] - counts["b"]) <= 2, counts


def test_a_small_insight_beside_a_large_one_of_the_same_creator() -> None:
    queues = queues_of(a_1=[12_000.0] * 2_000, a_2=[12_000.0] * 10)
    found = served(FairShare(), queues, rounds=25)
    assert found.count(("a", 2)) == 10, "every second one, until it is done"
    assert max(place for place, flow in enumerate(found) if flow == ("a", 2)) <= 20


def test_in_turn_serves_each_creator_before_any_twice() -> None:
    share = FairShare()
    share.charge(("a", 1), 5.0)
    assert share.in_turn([("a", 1), ("a", 2), ("b", 3), ("c", 4)]) == [("b", 3), ("c", 4), ("a", 2), ("a", 1)]


@settings(max_examples=150, deadline=None)
@given(
    works=st.dictionaries(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 3)),
        st.lists(WORK, min_size=40, max_size=40),
        min_size=2,
        max_size=6,
    ),
    room=st.integers(1, 7),
)
def test_creators_that_wait_all_the_time_stay_within_two_requests(
    works: dict[Flow, list[float]], room: int
) -> None:
    share = FairShare()
    left: Queues = {flow: list(enumerate(mine)) for flow, mine in works.items()}
    done: Counter[str] = Counter()
    largest = max(work for mine in works.values() for work in mine)
    while all(left.values()):
        for flow, _ in share.chosen(left, room):
            _, work = left[flow].pop(0)
            share.charge(flow, work)
            done[flow[0]] += work  # type: ignore[assignment]
        if all(left.values()):
            amounts = [done[creator] for creator in {flow[0] for flow in works}]
            assert max(amounts) - min(amounts) <= 2 * largest


@settings(max_examples=100, deadline=None)
@given(
    works=st.lists(WORK, min_size=1, max_size=30),
    rivals=st.integers(1, 20),
    heavy=WORK,
)
def test_nobody_starves(works: list[float], rivals: int, heavy: float) -> None:
    """However many wait beside it, a request of the flow goes each time when all others have had their turn."""
    share = FairShare()
    queues: Queues = {(f"r{number}", number): [(0, heavy)] * 100_000 for number in range(rivals)}
    queues["me", 99] = list(enumerate(works))
    waited = 0
    bound = rivals * (2 + int(max([*works, heavy]) / min([*works, heavy])) + 1)
    while queues["me", 99]:
        [(flow, _)] = share.chosen(queues, 1)
        share.charge(flow, queues[flow][0][1])
        if flow == ("me", 99):
            queues[flow].pop(0)
            waited = 0
        else:
            waited += 1
            assert waited <= bound


LANES = (Lane.SCHEDULED, Lane.BACKFILL)


@pytest.mark.parametrize(
    ("in_flight", "window", "room", "expected"),
    [
        ({}, 8, 8, {Lane.SCHEDULED: 4, Lane.BACKFILL: 4}),
        ({Lane.BACKFILL: 4}, 8, 4, {Lane.SCHEDULED: 4}),
        ({Lane.SCHEDULED: 6}, 8, 2, {Lane.BACKFILL: 2}),
        ({Lane.SCHEDULED: 4, Lane.BACKFILL: 4}, 8, 0, {}),
    ],
)
def test_each_lane_has_its_part_of_the_window(
    in_flight: dict[Lane, int], window: int, room: int, expected: dict[Lane, int]
) -> None:
    queues = {lane: list(range(20)) for lane in LANES}
    found = LaneTurns(LANES).merged(queues, in_flight, window, room)
    assert Counter(lane for lane, _ in found) == expected


def test_lanes_take_turns_where_one_goes_at_a_time() -> None:
    turns = LaneTurns(LANES)
    counts: Counter[Lane] = Counter()
    for _ in range(10):
        found = turns.merged({lane: [0] for lane in LANES}, {}, 16, 1)
        turns.served([lane for lane, _ in found])
        counts.update(lane for lane, _ in found)
    assert counts == {Lane.SCHEDULED: 5, Lane.BACKFILL: 5}


@given(
    lengths=st.lists(st.integers(0, 30), min_size=2, max_size=2),
    flying=st.lists(st.integers(0, 30), min_size=2, max_size=2),
    window=st.integers(1, 40),
    room=st.integers(0, 40),
)
def test_what_one_lane_does_not_use_goes_to_the_other(
    lengths: list[int], flying: list[int], window: int, room: int
) -> None:
    queues = {lane: list(range(length)) for lane, length in zip(LANES, lengths, strict=True)}
    in_flight = dict(zip(LANES, flying, strict=True))
    found = LaneTurns(LANES).merged(queues, in_flight, window, room)
    assert len(found) == min(room, sum(lengths))
    for lane in LANES:
        assert [item for at, item in found if at is lane] == queues[lane][
            : sum(at is lane for at, _ in found)
        ]


def test_work_is_bounded_and_never_nothing() -> None:
    assert work_of(request(1, cost=0.0, series=[requested(frames=[(600, 605)])])) == 5.0
    assert work_of(request(1, cost=70.0)) == 70.0
    assert work_of(request(1, cost=1e18)) == MAX_WORK
