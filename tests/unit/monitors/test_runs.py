"""Which runs a push begins, which are caught up with, and how runs are decided: all of it without a broker."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.monitors.queries.definitions import Action, Monitor
from schemas.events import ActionKind, FiredRun, RunStatus
from streams.monitors.evaluation import decided, deliveries, ended, failed
from streams.monitors.results import found_in, read, written
from streams.monitors.runs import Move, Phase, Place, Standing, Watcher, by_partition, catching_up, run_of
from streams.search.history.engine import FoundNew
from streams.search.history.matching import CommitMatch

BEGUN_AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
LATER = BEGUN_AT + timedelta(seconds=1)
BEFORE = BEGUN_AT - timedelta(days=9)
PLACE = Place(1, (Phase(0, BEFORE, "example.org/app"),))
OLD, NEW = "a" * 40, "b" * 40


def watcher(query: str = "type:diff repo:app TODO") -> Watcher:
    return Watcher(7, query, 3, BEGUN_AT)


def move(**changes: object) -> Move:
    fields: dict[str, object] = {"at": LATER, "tip": NEW, "previous_tip": OLD, "is_first": False, **changes}
    return Move(**fields)  # type: ignore[arg-type]


def test_a_push_begins_a_run_whose_past_is_the_tip_before_it() -> None:
    assert run_of(watcher(), PLACE, move()) == FiredRun(monitor_id=7, begun=3, base=[OLD])
    assert run_of(watcher(), PLACE, move(previous_tip=None)) == FiredRun(monitor_id=7, begun=3, base=[])


@pytest.mark.parametrize(
    ("query", "place", "moved"),
    [
        ("type:diff repo:app TODO", PLACE, move(at=BEGUN_AT)),
        ("type:diff repo:app TODO", PLACE, move(is_first=True, previous_tip=None)),
        ("type:diff repo:app TODO", PLACE, move(tip=OLD)),
        ("type:diff repo:other TODO", PLACE, move()),
        ("type:diff TODO", Place(1, (Phase(0, BEFORE, "example.org/app", fork=True),)), move()),
        ("type:diff TODO", Place(1, (Phase(0, BEFORE, "example.org/app", archived=True),)), move()),
        ("TODO", PLACE, move()),
    ],
    ids=["pushed before it began", "clone is ready", "another branch", "out of scope", "fork", "archived", "no query"],
)  # fmt: skip
def test_what_begins_no_run(query: str, place: Place, moved: Move) -> None:
    assert run_of(watcher(query), place, moved) is None


def test_named_revisions_are_looked_at_whatever_moved_and_begin_where_they_are_found() -> None:
    named = watcher("type:diff rev:side TODO")
    assert run_of(named, PLACE, move(tip=OLD)) == FiredRun(monitor_id=7, begun=3)
    assert run_of(named, PLACE, move(is_first=True)) == FiredRun(monitor_id=7, begun=3)


def test_what_is_covered_is_not_caught_up_with() -> None:
    def due(standing: Standing | None, query: str = "type:diff TODO") -> FiredRun | None:
        return catching_up(watcher(query), PLACE, move(), 12, standing)

    assert due(None) == FiredRun(monitor_id=7, begun=3, base=[OLD]), "its own run did not come"
    assert due(Standing(frozenset((OLD,)), None)) is not None, "it failed"
    assert due(Standing(frozenset((OLD,)), 11)) is not None
    assert due(Standing(frozenset((NEW,)), 11)) is None, "the tip was searched"
    assert due(Standing(frozenset((OLD,)), 12)) is None
    assert due(Standing(frozenset((NEW,)), 11), "type:diff rev:side TODO") is not None


def test_a_repository_that_starts_to_match_begins_at_the_present_each_time() -> None:
    def known(*names: str | None) -> Place:
        return Place(1, tuple(Phase(n, BEFORE + timedelta(days=n), name) for n, name in enumerate(names)))

    query = "type:diff repo:app TODO"
    standing = Standing(frozenset((OLD,)), 11, since=0)
    since = [
        None if run is None else (run.since, run.base)
        for names in (("app/x",), ("app/x", "app/y"), ("app/x", "other", "app/x"), ("app/x", None, "app/x"), ("app/x", "other"))
        for run in [catching_up(watcher(query), known(*names), move(), 12, standing)]
    ]  # fmt: skip
    assert since == [(0, None), (0, None), (2, [OLD]), (2, [OLD]), None]
    again = Place(1, (Phase(0, BEFORE, "other"), Phase(1, LATER + timedelta(days=1), "app/x")))
    assert run_of(watcher(query), again, move()) is None, "it was pushed before it matched"


def test_monitors_of_one_scope_are_asked_once_and_others_are_not_mixed_up() -> None:
    known: dict[str, Phase | None] = {}
    queries = ("type:diff repo:app a", "type:commit repo:app b", "type:diff -repo:app a", "type:diff fork:yes repo:app a",
               "type:diff (repo:app or repo:x) a", "type:diff a")  # fmt: skip
    alone = [catching_up(watcher(query), PLACE, move(), 12, None) for query in queries]
    together = [catching_up(watcher(query), PLACE, move(), 12, None, known) for query in queries]
    assert together == alone
    assert [one is None for one in alone] == [False, False, True, False, False, False]
    assert len(known) == 5


@given(st.lists(st.integers(0, 50)), st.integers(1, 7))
def test_runs_share_events_by_partition_and_none_is_lost(numbers: list[int], size: int) -> None:
    groups = list(by_partition(numbers, lambda one: one, lambda one: one % 4, size))
    assert sorted(one for group in groups for one in group) == sorted(numbers)
    assert all(len(group) <= size and len({one % 4 for one in group}) == 1 for group in groups)


def monitor(**changes: object) -> Monitor:
    fields: dict[str, object] = {
        "id": 7, "description": "d", "owner": "alice", "created_at": BEGUN_AT, "created_position": "p",
        "changed_at": BEGUN_AT, "enabled": True, "query": "type:diff TODO", "begun_offset": 3,
        "begun_at": BEGUN_AT, "deleted_at": None, **changes,
    }  # fmt: skip
    return Monitor(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"enabled": False}, {"deleted_at": LATER}, {"begun_offset": 4}], ids=lambda one: next(iter(one))
)  # fmt: skip
def test_a_monitor_that_was_edited_meanwhile_moves_nothing(changes: dict[str, object]) -> None:
    (one,) = decided([FiredRun(monitor_id=7, begun=3)], {7: monitor(**changes)}, {}, {"alice": True})
    assert one.ask is None
    outcome = failed(one, "", "")
    assert (outcome.status, outcome.tips) == (RunStatus.SUPERSEDED, None)


def test_what_counts_as_searched() -> None:
    run = FiredRun(monitor_id=7, begun=3, base=[OLD])
    asked = [
        decided([run], {7: monitor()}, searched, {"alice": True})[0].ask
        for searched in ({}, {7: (NEW,)}, {7: ()})
    ]
    assert [one.searched for one in asked if one is not None] == [(OLD,), (NEW,), ()]


def test_what_the_owner_may_not_see_is_not_searched_and_is_past_afterwards() -> None:
    run = FiredRun(monitor_id=7, begun=3, base=[OLD])
    (one,) = decided([run], {7: monitor()}, {7: (OLD,)}, {"alice": False})
    assert one.ask is not None
    assert one.ask.searched is None, "the tips alone"
    outcome = ended(one, FoundNew(tips=(NEW,)), None)
    assert (outcome.status, outcome.tips, outcome.result_count) == (RunStatus.HIDDEN, [NEW], 0)


def test_a_failure_moves_nothing() -> None:
    (one,) = decided([FiredRun(monitor_id=7, begun=3)], {7: monitor()}, {}, {"alice": True})
    outcome = failed(one, "timeout", "too long")
    assert (outcome.status, outcome.tips, outcome.reason) == (RunStatus.FAILED, None, "timeout")


def test_a_mail_is_one_delivery_per_recipient_and_what_is_disabled_sends_nothing() -> None:
    def action(number: int, **changes: object) -> Action:
        fields = {
            "id": number,
            "kind": ActionKind.WEBHOOK,
            "place": 0,
            "enabled": True,
            "include_results": True,
        }
        return Action(**{**fields, **changes})  # type: ignore[arg-type]

    found = deliveries(
        monitor(
            actions=(
                action(1, kind=ActionKind.EMAIL, recipients=("a", "b")),
                action(2),
                action(3, enabled=False),
                action(4, is_disabled=True),
            )
        )
    )
    assert [(one.action_id, one.recipient) for one in found] == [(1, "a"), (1, "b"), (2, "")]


def test_the_event_names_what_it_has_room_for_and_the_blob_holds_it_whole() -> None:
    matches = [
        CommitMatch(
            commit=f"{number:040x}", committed_at_s=0, is_diff=True, text="+TODO\n" * 500,
            ranges=[(n * 6 + 1, n * 6 + 5) for n in range(500)], paths=["p" * 3_000] * 150, matches=500,
        )
        for number in range(20)
    ]  # fmt: skip
    found = found_in(matches)
    assert 0 < len(found) < 20
    assert found[0].matches == 500
    assert len(found[0].ranges) == 100
    whole = read(written("example.org/app", matches))
    assert len(whole) == 20
    assert len(whole[0].ranges) == 500
    assert whole[0].text == matches[0].text
