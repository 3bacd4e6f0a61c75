"""The creation form: what is read, what is sent, where errors go."""

from starlette.datastructures import FormData

from api.web.asking import GraphQLError
from api.web.insight_form import (
    InsightForm,
    check,
    graphql_input,
    place_in_typed,
    read_form,
    refuse_as_answered,
    with_pattern,
)
from api.web.palette import PALETTE


def _sent(**more: str) -> FormData:
    fields = {
        "key": "k1",
        "title": " Migration ",
        "query-0": "urlopen(",
        "label-0": "",
        "colour-0": PALETTE[0][0],
        "query-3": "fetch\\(",
        "label-3": "new",
        "pattern-3": "regexp",
        "value": "2",
        "unit": "WEEK",
    }
    return FormData({**fields, **more})


def _refused(**more: str) -> InsightForm:
    form = read_form(_sent(**more))
    check(form)
    return form


def test_a_form_becomes_the_input_of_the_mutation() -> None:
    form = read_form(_sent())
    check(form)
    assert form.problems == []
    assert graphql_input(form) == {
        "options": {"title": "Migration"},
        "dataSeries": [
            {"query": "urlopen(", "options": {"label": "urlopen(", "lineColor": PALETTE[0][0]}},
            {"query": "patternType:regexp fetch\\(", "options": {"label": "new", "lineColor": None}},
        ],
        "timeScope": {"stepInterval": {"unit": "WEEK", "value": 2}},
        "frames": 12,
        "repositoryScope": {"repositories": []},
    }


def test_scopes() -> None:
    criteria = graphql_input(read_form(_sent(scope="criteria", criteria="repo:shop")))
    assert criteria["repositoryScope"] == {"repositories": [], "repositoryCriteria": "repo:shop"}
    chosen = FormData([*_sent().multi_items(), ("scope", "list"), ("repository", "a"), ("repository", "b")])
    assert graphql_input(read_form(chosen))["repositoryScope"] == {"repositories": ["a", "b"]}


def test_empty_fields_are_refused_all_at_once() -> None:
    form = _refused(title="", value="0", scope="list", **{"query-3": " "})
    assert [problem.field for problem in form.problems] == ["title", "query-1", "repositories", "value"]
    assert form.series[1].query_errors


def test_numbers_are_ascii() -> None:
    assert _refused(value="٣").value_errors
    assert _refused(value="1001").value_errors
    assert not _refused(value="1000").value_errors


def test_a_stated_pattern_type_is_left_alone() -> None:
    assert with_pattern("patternType:literal x", "regexp") == "patternType:literal x"
    assert with_pattern("x", "literal") == "x"


def test_a_place_in_the_query_as_sent_is_found_in_the_query_as_typed() -> None:
    query = "a author:b"
    sent = with_pattern(query, "regexp")
    assert place_in_typed(query, "regexp", sent.index("author"), 6) == (2, 6)
    assert place_in_typed(query, "literal", 2, 6) == (2, 6)
    assert place_in_typed(query, "literal", 99, 3) == (10, 1)


def test_errors_of_the_mutation_stand_at_their_fields() -> None:
    form = read_form(_sent())
    refuse_as_answered(
        form,
        (
            GraphQLError(
                "no", extensions={"field": "input.dataSeries[1].query", "position": 21, "length": 2}
            ),
            GraphQLError("long", extensions={"field": "input.options.title", "remedy": "Shorten it."}),
            GraphQLError("elsewhere", extensions={"field": "input.dashboards"}),
            GraphQLError("beyond", extensions={"field": "dataSeries[7].query"}),
        ),
    )
    (error,) = form.series[1].query_errors
    assert (error.text, error.position, error.length) == ("fetch\\(", 2, 2)
    assert [error.message for error in form.title_errors] == ["long Shorten it."]
    assert [problem.field for problem in form.problems] == ["query-1", "title", "", ""]
