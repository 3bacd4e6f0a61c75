"""Every rule of ``createLineChartSearchInsight``'s input."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.insights import insight_created, names_in
from schemas.events import InsightCreated, PatternType, SeriesKind
from schemas.grid import TimeUnit
from schemas.ids import SeriesIdentity, series_id

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KNOWN = {"git.example.com/a": 11, "git.example.com/b": 7}
MONTHLY = {"step_interval": {"unit": "MONTH", "value": 1}}
EVERYWHERE: dict[str, object] = {"repositories": []}


def series(**changed: object) -> dict[str, object]:
    return {
        "query": "insights",
        "options": {"label": "all", "line_color": "#123456"},
        "repository_scope": EVERYWHERE,
        "time_scope": MONTHLY,
    } | changed


def given(*lines: Mapping[str, object], **changed: object) -> dict[str, object]:
    return {"options": {"title": "A chart"}, "data_series": list(lines) or [series()]} | changed


def created(value: Mapping[str, object]) -> InsightCreated:
    return insight_created(value, insight_id=5, creator="admin", created_at=NOW, repository_ids=KNOWN)


def refused(value: Mapping[str, object]) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        created(value)
    return caught.value


def test_the_plain_series_has_the_first_generation_s_id() -> None:
    made = created(given())
    assert made.series[0].series_id == "s:7F1FE30EF252BF75FAB0C9680C7BCFFF648154165AFE718155091051255A0A99"
    assert (made.title, made.creator, made.created_at, made.frames) == ("A chart", "admin", NOW, 12)
    assert (made.series[0].label, made.series[0].line_color) == ("all", "#123456")
    assert made.series[0].repositories is None
    assert made.series[0].criteria is None


def test_names_become_sorted_ids_and_change_the_series_id() -> None:
    scope = {"repositories": ["git.example.com/a", "git.example.com/b", "git.example.com/a"]}
    value = given(series(repository_scope=scope))
    assert names_in(value) == set(KNOWN)
    made = created(value).series[0]
    assert made.repositories == [7, 11]
    assert made.series_id == series_id(SeriesIdentity(query="insights", repositories=[11, 7]))


def test_a_series_without_scope_or_interval_takes_the_chart_s() -> None:
    value = given(
        series(repository_scope=None, time_scope=None),
        repository_scope={"repositories": [], "repository_criteria": "repo:example"},
        time_scope={"step_interval": {"unit": "WEEK", "value": 2}},
    )
    made = created(value).series[0]
    assert (made.criteria, made.unit, made.value) == ("repo:example", TimeUnit.WEEK, 2)


def test_an_empty_name_is_no_name() -> None:
    """Clients that have no list send [""]."""
    assert created(given(series(repository_scope={"repositories": [""]}))).series[0].repositories is None


def test_capture_groups_are_read_as_regular_expressions() -> None:
    made = created(given(series(query=r"version=(\d+)", generated_from_capture_groups=True))).series[0]
    assert (made.kind, made.pattern_type) == (SeriesKind.CAPTURE, PatternType.REGEXP)


def test_a_missing_label_is_the_query() -> None:
    assert created(given(series(options={}))).series[0].label == "insights"


BOTH = {"repositories": ["git.example.com/a"], "repository_criteria": "repo:a"}
REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("options.title", given(options={}), "a title is required"),
    ("options.title", given(options={"title": "  "}), "a title is required"),
    ("options.title", given(options={"title": "x" * 501}), "501 characters"),
    ("dataSeries", {"options": {"title": "t"}, "data_series": []}, "0 series"),
    ("dataSeries", given(*[series()] * 51), "51 series"),
    ("dataSeries[0].query", given(series(query=" ")), "a query is required"),
    ("dataSeries[0].query", given(series(query="x" * 10_001)), "10,001 characters"),
    ("dataSeries[0].repositoryScope", given(series(repository_scope=None)), "a repository scope is required"),
    ("dataSeries[0].repositoryScope", given(series(repository_scope=BOTH)), "can not specify both"),
    ("dataSeries[0].timeScope", given(series(time_scope=None)), "a time scope is required"),
    (
        "dataSeries[0].timeScope",
        given(series(time_scope={"step_interval": None})),
        "a time scope is required",
    ),
    (
        "dataSeries[0].timeScope.stepInterval.value",
        given(series(time_scope={"step_interval": {"unit": "DAY", "value": 0}})),
        "an interval of 0",
    ),
    ("frames", given(frames=0), "0 points"),
    ("frames", given(frames=1001), "1001 points"),
    (
        "dataSeries[1].repositoryScope.repositories",
        given(series(), series(repository_scope={"repositories": ["git.example.com/none"]})),
        "repositories not found",
    ),
    (
        "dataSeries[0].repositoryScope.repositoryCriteria",
        given(series(repository_scope={"repositories": [], "repository_criteria": "repo:a TODO"})),
        "contains a pattern: `TODO`",
    ),
    (
        "dataSeries[0].repositoryScope.repositoryCriteria",
        given(series(repository_scope={"repositories": [], "repository_criteria": "repo:a file:b"})),
        "disallowed filter: `file`",
    ),
    ("dataSeries[0].options.lineColor", given(series(options={"line_color": "url('x')"})), "is no colour"),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_what_breaks_a_rule_is_refused_with_its_place(
    field: str, value: dict[str, object], message: str
) -> None:
    error = refused(value)
    assert error.code is Code.INVALID_INPUT
    assert error.extensions["field"] == field
    assert message in str(error)


def test_a_query_that_cannot_run_is_refused_with_the_position_of_the_fault() -> None:
    error = refused(given(series(query="TODO author:bob")))
    assert error.extensions["field"] == "dataSeries[0].query"
    assert error.extensions["position"] == 5
    assert error.extensions["length"] == len("author:bob")


def test_a_capture_series_without_a_group_is_refused() -> None:
    error = refused(given(series(query="plain", generated_from_capture_groups=True)))
    assert "group" in str(error)


UNSUPPORTED: list[dict[str, Any]] = [
    {"dashboards": ["x"]},
    {"view_controls": {"filters": {"include_repo_regex": "a"}, "series_display_options": {}}},
    {"view_controls": {"filters": {}, "series_display_options": {"limit": 3}}},
    {
        "view_controls": {
            "filters": {},
            "series_display_options": {"sort_options": {"mode": "DATE_ADDED", "direction": "ASC"}},
        }
    },
]


@pytest.mark.parametrize("changed", UNSUPPORTED)
def test_what_cannot_be_kept_is_refused_not_dropped(changed: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        created(given(**changed))
    assert caught.value.code is Code.NOT_SUPPORTED


def test_default_controls_are_taken_as_clients_send_them() -> None:
    controls = {
        "filters": {"include_repo_regex": "", "exclude_repo_regex": "", "search_contexts": []},
        "series_display_options": {
            "limit": 20,
            "num_samples": None,
            "sort_options": {"mode": "RESULT_COUNT", "direction": "DESC"},
        },
    }
    assert created(given(view_controls=controls)).title == "A chart"


def test_grouping_is_not_supported() -> None:
    with pytest.raises(ApiError) as caught:
        created(given(series(group_by="REPO")))
    assert caught.value.code is Code.NOT_SUPPORTED
