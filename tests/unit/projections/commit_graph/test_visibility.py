"""Two thousand random histories of events against the rules taken word for word; and a wrong tie-break is seen."""

import random
from datetime import UTC, datetime

import pytest

from projections.commit_graph.fold import fold
from projections.commit_graph.model import Base, Derived, Link, Nearest, Ref, Upload
from projections.commit_graph.visibility import derive
from projections.folding import Folding
from schemas.codec import new_event
from schemas.envelope import Position
from tests.support.graph_events import NOW, payload_of, topic_of
from tests.support.graph_facts import Fact, cut, facts, interleaved
from tests.support.naive_graph import NaiveRows, truth
from tests.unit.projections.commit_graph.tables_in_memory import TablesInMemory

HISTORIES = 2_000
REPOSITORY = 7


def derived(random_: random.Random, order: list[Fact]) -> NaiveRows:
    """What the fold and the derive step make of facts that come in this order, in some batches."""
    tables = TablesInMemory()
    offsets: dict[str, int] = {}
    for batch in cut(random_, order):
        tables.apply(fold([folding(fact, offsets) for fact in batch]).upserts)
    return plain(derive(tables.base()))


def folding(fact: Fact, offsets: dict[str, int]) -> Folding:
    topic = topic_of(fact)
    offset = offsets[topic] = offsets.get(topic, -1) + 1
    event = new_event(payload_of(fact, REPOSITORY), source="//t", time=NOW, event_id=f"{topic}-{offset}")
    return Folding(event, Position(topic, 0, offset), NOW)


def plain(found: Derived) -> NaiveRows:
    return NaiveRows(
        {one.commit.hex(): dict(one.uploads) for one in found.nearest},
        {one.commit.hex(): (one.ancestor.hex(), one.distance) for one in found.links},
        {(one.upload_id, one.commit.hex()): (one.names, one.is_default) for one in found.at_tips},
    )


def history(seed: int) -> tuple[random.Random, list[Fact]]:
    """Some of these stop in the middle: what is known then counts just as well."""
    random_ = random.Random(seed)
    order = interleaved(random_, facts(random_))
    return random_, order if seed % 3 else order[: random_.randrange(len(order) + 1)]


def test_every_row_of_two_thousand_histories_is_what_the_rules_say() -> None:
    made = [0, 0, 0]
    for seed in range(HISTORIES):
        random_, order = history(seed)
        found = derived(random_, order)
        assert found == truth(order), f"history {seed}"
        made = [made[0] + len(found.nearest), made[1] + len(found.links), made[2] + len(found.tips)]
    assert min(made) > 400, made


def test_a_wrong_tie_break_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.commit_graph.visibility.LARGER_ID_FIRST", 1)
    wrong = 0
    for seed in range(HISTORIES):
        random_, order = history(seed)
        wrong += derived(random_, order) != truth(order)
    assert wrong > 20


def test_the_order_between_topics_and_the_cut_into_batches_are_not_seen() -> None:
    for seed in range(HISTORIES, HISTORIES + 100):
        random_ = random.Random(seed)
        streams = facts(random_)
        first, second = (derived(random_, interleaved(random_, streams)) for _ in range(2))
        assert first == second, f"history {seed}"


def test_the_worked_example_of_the_reference() -> None:
    """a(1, 2) - b - {c | d(3) - e} - f = merge(c, e) - g - h."""
    a, b, c, d, e, f, g, h = (bytes([number]) * 20 for number in range(1, 9))
    base = Base(
        commits={a: (), b: (a,), c: (b,), d: (b,), e: (d,), f: (c, e), g: (f,), h: (g,)},
        refs=(Ref(name="main", is_tag=False, is_default=True, tip=h, committed_at=NOW),),
        uploads=(Upload(1, a, "api/", "go"), Upload(2, a, "web/", "ts"), Upload(3, d, "api/", "go")),
        pushed_at=datetime(2026, 5, 5, tzinfo=UTC),
    )
    found = derive(base)
    assert {one.commit for one in found.nearest} == {a, c, d, e, f}
    assert found.links == [Link(b, a, 1), Link(g, f, 1), Link(h, f, 2)]
    assert Nearest(f, ((2, 3), (3, 2))) in found.nearest
    assert [(one.upload_id, one.names, one.is_default) for one in found.at_tips] == [
        (2, "main", True),
        (3, "main", True),
    ]
