"""One row a record, however many projections put it aside, and what can be ordered about all of them."""

from datetime import UTC, datetime

from api.web.dead_letters import Entry, Order, Outcome, dropped_together, merged, rows_of


def _entry(projection: str, position: str, *, kind: str = "DEAD_LETTER", reason: str = "r") -> Entry:
    return Entry(
        id=f"{projection}:{position}",
        kind=kind,
        projection=projection,
        position=position,
        aggregate="k",
        append_time=datetime(2026, 11, 30, tzinfo=UTC),
        reason=reason,
        path="p",
        size_bytes=1,
        waiting=0,
        behind=None,
    )


def test_one_row_a_record() -> None:
    entries = [
        _entry("a", "t/0@1"),
        _entry("a", "t/0@0"),
        _entry("b", "t/0@1"),
        _entry("c", "t/0@1", reason="s"),
    ]
    rows = rows_of(entries)
    assert [(row.first.position, [one.projection for one in row.entries]) for row in rows] == [
        ("t/0@1", ["a", "b", "c"]),
        ("t/0@0", ["a"]),
    ]
    assert rows[0].reasons == [("p", "r"), ("p", "s")]


def test_only_what_can_never_be_folded_is_dropped_together() -> None:
    entries = [_entry("a", "t/0@1"), _entry("b", "t/0@1", kind="QUARANTINED"), _entry("a", "t/0@2")]
    assert dropped_together(entries) == {"a": ["t/0@1", "t/0@2"]}


def test_several_orders_are_shown_as_one() -> None:
    def order(done: bool, position: str) -> Order:
        outcome = Outcome(
            state="DROPPED", aggregate=None, position=position, folded=0, waiting=0, reason="", trace=None
        )
        return Order(position="o", dry_run=True, done=done, outcomes=(outcome,))

    assert merged([]) is None
    one = merged([order(True, "t/0@1"), order(False, "t/0@2")])
    assert one is not None
    assert (one.done, [each.position for each in one.outcomes]) == (False, ["t/0@1", "t/0@2"])
