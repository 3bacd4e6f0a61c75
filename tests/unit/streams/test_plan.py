"""What the planner plans and asks for, from definitions and repositories alone."""

import pytest

from schemas.events import PatternType, PlanCause
from schemas.grid import TimeUnit
from schemas.ids import derived_event_id
from streams.insights import requests as asking
from streams.insights.plan import (
    Definition,
    Scope,
    is_announced,
    plan_id,
    plans_of,
    requests_of,
    scopes_by_repository,
    scopes_of,
)
from streams.insights.scope import Repository, repositories_in_scope
from tests.unit.streams.events import NOW, definition

REPOSITORIES = [
    Repository(1, "example.org/team/api", fork=False, archived=False),
    Repository(2, "example.org/team/web", fork=False, archived=False),
    Repository(3, "example.org/team/fork", fork=True, archived=False),
    Repository(4, "example.org/old/api", fork=False, archived=True),
]
MONTHS = (671, 683)
"""The twelve months up to November 2026: (2026 - 1970) * 12 + 10 is 682."""


def insight(*series: object, frames: int = 12) -> Definition:
    return Definition(insight_id=7, creator="me", created_at=NOW, frames=frames, series=series)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (definition("TODO"), (1, 2)),
        (definition("TODO fork:yes"), (1, 2, 3)),
        (definition("TODO archived:only"), (4,)),
        (definition("TODO repo:/api$"), (1,)),
        (definition("TODO -repo:/API$"), (2,)),
        (definition("TODO", repositories=[1, 3, 4, 99]), (1, 3, 4)),
        (definition("TODO fork:no", repositories=[1, 3, 4]), (1, 4)),
        (definition("TODO", criteria="repo:/api$ or repo:/web$"), (1, 2)),
        (definition("TODO fork:yes archived:yes", criteria="repo:team"), (1, 2, 3)),
        (definition("TODO repo:web", criteria="repo:team"), (2,)),
        (definition("(TODO OR", pattern_type=PatternType.REGEXP), (1, 2)),
        (definition("TODO", criteria="repo:["), ()),
    ],
)
def test_scope_is_the_list_the_criteria_or_all_narrowed_by_the_query(
    series: object, expected: tuple[int, ...]
) -> None:
    assert repositories_in_scope(series, REPOSITORIES) == expected  # type: ignore[arg-type]


def test_series_of_one_scope_stand_together() -> None:
    scopes = scopes_of(
        insight(definition("a"), definition("b"), definition("c repo:web"), definition("a")), REPOSITORIES
    )
    assert [([one.query for one in scope.series], scope.repositories) for scope in scopes] == [
        (["a", "b"], (1, 2)),
        (["c repo:web"], (2,)),
    ]


def test_one_request_per_repository_carries_all_its_series() -> None:
    one = insight(definition("a"), definition("b repo:web"), definition("w", unit=TimeUnit.WEEK), frames=3)
    requests = list(requests_of(one, scopes_of(one, REPOSITORIES), {}))
    assert {request.repository_id: [series.query for series in request.series] for request in requests} == {
        1: ["a", "w"],
        2: ["a", "b repo:web", "w"],
    }
    ids = [one.series[0].series_id, one.series[2].series_id]
    assert requests[0].request_id == derived_event_id("recording.requested", 7, 1, 1, *ids)
    assert requests[0].series[0].frames == [(680, 683)]
    assert requests[0].cost == pytest.approx(6 * asking.NOMINAL_FILES)
    assert requests[1].cost == pytest.approx(6 * asking.NOMINAL_FILES), (
        "a frame is walked once for all series"
    )


def test_covered_cells_are_left_out_and_a_covered_repository_is_not_asked_for() -> None:
    series = definition("a")
    one = insight(series)
    covered = {(series.series_id, 1): [(674, 676), (680, 690)], (series.series_id, 2): [(600, 700)]}
    requests = list(requests_of(one, scopes_of(one, REPOSITORIES), covered))
    assert [(request.repository_id, request.series[0].frames) for request in requests] == [
        (1, [(671, 674), (676, 680)])
    ]


def test_both_ways_to_a_pair_ask_under_the_same_ids() -> None:
    one = insight(definition("a"), definition("b repo:web"))
    from_insight = {
        request.request_id: request for request in requests_of(one, scopes_of(one, REPOSITORIES), {})
    }
    from_repository = {
        request.request_id: request
        for repository in REPOSITORIES
        for scopes in scopes_by_repository(scopes_of(one, [repository])).values()
        for request in requests_of(one, scopes, {})
    }
    assert from_insight == from_repository
    assert len(from_insight) == 2


def test_both_ways_split_alike_and_in_the_order_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_REQUEST_BYTES", 500)
    # By scopes, "c" comes before "b"; for repository 1 alone all three have one scope.
    one = insight(definition("a"), definition("b", repositories=[1]), definition("c"))
    from_insight = [r for r in requests_of(one, scopes_of(one, REPOSITORIES), {}) if r.repository_id == 1]
    [scopes] = scopes_by_repository(scopes_of(one, [REPOSITORIES[0]])).values()
    assert list(requests_of(one, scopes, {})) == from_insight
    assert [[series.query for series in request.series] for request in from_insight] == [["a", "b"], ["c"]]


def test_another_scope_of_the_repository_asks_under_other_ids() -> None:
    one = insight(definition("a"), definition("b fork:yes"))
    as_fork = Repository(1, "example.org/team/api", fork=True, archived=False)
    [before] = requests_of(one, scopes_of(one, [REPOSITORIES[0]]), {})
    [after] = requests_of(one, scopes_of(one, [as_fork]), {})
    assert (len(before.series), len(after.series)) == (2, 1)
    assert before.request_id != after.request_id


def test_large_requests_are_split_by_series_whatever_is_covered_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "MAX_REQUEST_BYTES", 500)
    series = [definition(name) for name in "abcdef"]
    one = insight(*series)
    scopes = [Scope(tuple(series), (1,))]
    whole = {request.split: [s.query for s in request.series] for request in requests_of(one, scopes, {})}
    assert list(whole) == [1, 2, 3]
    assert [query for queries in whole.values() for query in queries] == list("abcdef")
    covered = {(one_series.series_id, 1): [(0, 9999)] for one_series in series[:3]}
    left = {request.split: [s.query for s in request.series] for request in requests_of(one, scopes, covered)}
    assert left == {2: ["d"], 3: ["e", "f"]}, "what is left keeps the split, and so the id, that it had"


def test_a_plan_comes_in_parts_of_bounded_size() -> None:
    series = definition("a")
    one = insight(series)
    scopes = [Scope((series,), tuple(range(25))), Scope((definition("b"),), (1, 2))]
    plans = plans_of(one, scopes, PlanCause.INSIGHT_CREATED, ["t/0@5"], max_repositories=10)
    assert [
        (plan.part, plan.of, sum(len(scope.repositories) for scope in plan.scopes)) for plan in plans
    ] == [
        (1, 3, 10),
        (2, 3, 10),
        (3, 3, 7),
    ]
    assert [scope.repositories for scope in plans[2].scopes] == [[20, 21, 22, 23, 24], [1, 2]]
    assert (plans[0].scopes[0].series[0].first_index, plans[0].scopes[0].series[0].end_index) == MONTHS
    assert plans[0].waited_for == ["t/0@5"]
    assert len({plan_id(plan) for plan in plans}) == 3
    assert plan_id(plans[0]) == derived_event_id("backfill.planned", 7, "insight_created", "", 1)


def test_a_plan_without_repositories_is_said_too() -> None:
    one = insight(definition("a"))
    [plan] = plans_of(one, scopes_of(one, []), PlanCause.INSIGHT_CREATED, [])
    assert [scope.repositories for scope in plan.scopes] == [[]]
    assert (plan.part, plan.of) == (1, 1)


def test_a_plan_is_announced_when_every_cell_of_it_was_planned_before() -> None:
    a, b = definition("a"), definition("b")
    one = insight(a, b)
    scopes = [Scope((a, b), (1,))]
    whole = {(a.series_id, 1): [MONTHS], (b.series_id, 1): [(600, 700)]}
    assert is_announced(one, scopes, whole)
    assert not is_announced(one, scopes, {**whole, (b.series_id, 1): [(600, 682)]})
    assert not is_announced(one, scopes, {(a.series_id, 1): [MONTHS]})
