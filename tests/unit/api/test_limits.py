"""What an operation may ask: each limit trips on its own, before the work that its excess would make slow."""

import time
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    is_list_type,
    is_non_null_type,
    parse,
    validate,
)

from api.graphql.cost import LIST_SIZES, PAGE_SIZES, cost_map, cost_rule
from api.graphql.limits import OperationLimits, check_shape, parsed
from api.graphql.schema import executable_schema

LIMITS = OperationLimits()
SCHEMA = executable_schema()


def limit_of(query: str) -> object:
    with pytest.raises(GraphQLError) as caught:
        check_shape(parsed(query, LIMITS), LIMITS)
    extensions = caught.value.extensions or {}
    assert extensions["code"] == "LIMIT_EXCEEDED"
    return extensions["limit"]


def cost_of(query: str, **variables: object) -> int:
    """The cost, as the rule counts it."""
    errors = validate(SCHEMA, parse(query), [cost_rule(SCHEMA, 0, dict(variables))])
    assert len(errors) == 1
    found = (errors[0].extensions or {})["cost"]
    assert isinstance(found, int)
    return found


def test_tokens_are_counted_while_parsing() -> None:
    started_s = time.thread_time()
    assert limit_of("{" + " site{id}" * 100_000 + "}") == "tokens"
    assert time.thread_time() - started_s < 1.0


def test_no_graphql_is_a_parse_error_with_its_place() -> None:
    with pytest.raises(GraphQLError) as caught:
        parsed("{ site {", LIMITS)
    assert (caught.value.extensions or {})["code"] == "GRAPHQL_PARSE_FAILED"
    assert caught.value.locations


def test_aliases_directives_fields_and_definitions() -> None:
    assert limit_of("{" + "".join(f" a{n}: site {{ id }}" for n in range(61)) + "}") == "aliases"
    assert limit_of("{ site { id " + "@skip(if: false) " * 61 + "} }") == "directives"
    assert limit_of("{" + " site { id }" * 751 + "}") == "fields"
    assert (
        limit_of("{ site { id } }" + "".join(f" fragment F{n} on Site {{ id }}" for n in range(60)))
        == "definitions"
    )


def test_depth_counts_fields_through_fragments() -> None:
    deep = "".join(f"fragment F{n} on Query {{ x {{ x {{ ...F{n + 1} }} }} }} " for n in range(8))
    assert limit_of("{ ...F0 } " + deep + "fragment F8 on Query { x }") == "depth"
    check_shape(parse("{ site { id } ... on Query { site { id } } }"), LIMITS)


def test_a_circle_of_fragments_is_left_to_validation() -> None:
    check_shape(
        parse("{ ...A } fragment A on Query { site { id } ...B } fragment B on Query { ...A }"), LIMITS
    )


@pytest.mark.parametrize("levels", [16, 100, 400, 900, 2_000])
def test_nesting_beyond_any_reason_is_refused_not_a_crash(levels: int) -> None:
    with pytest.raises(GraphQLError) as caught:
        check_shape(parsed("{" + "a{" * levels + "b" + "}" * levels + "}", LIMITS), LIMITS)
    code = (caught.value.extensions or {})["code"]
    assert code == ("LIMIT_EXCEEDED" if levels <= 100 else code)
    assert code in ("LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED")


def test_every_field_has_a_cost() -> None:
    mapped = cost_map(SCHEMA)
    for name, type_ in SCHEMA.type_map.items():
        fields = getattr(type_, "fields", None)
        if name.startswith("__") or fields is None or name not in mapped:
            continue
        assert set(mapped[name]) == set(fields)
    assert {"Query", "Mutation", "InsightView", "InsightsSeries", "Repository"} <= set(mapped)


def _returns_objects(schema: GraphQLSchema, type_name: str, field: str) -> bool:
    """Whether the field is a list of objects, interfaces or unions (not of scalars or enums)."""
    type_ = schema.type_map[type_name]
    if not isinstance(type_, GraphQLObjectType):
        return False
    found: Any = type_.fields[field].type
    is_list = False
    while is_list_type(found) or is_non_null_type(found):
        is_list = is_list or is_list_type(found)
        found = found.of_type
    return is_list and hasattr(found, "ast_node") and not hasattr(found, "serialize")


def test_every_list_of_objects_has_a_size_or_stands_in_a_page() -> None:
    for type_name in cost_map(SCHEMA):
        for field in cost_map(SCHEMA)[type_name]:
            place = (type_name, field)
            if _returns_objects(SCHEMA, type_name, field) and field != "nodes":
                assert place in LIST_SIZES or place in PAGE_SIZES or place in SMALL, place


SMALL = {
    ("Query", "asOf"),
    ("InsightViewConnection", "asOf"),
    ("MonitorConnection", "asOf"),
    ("RepositoryConnection", "asOf"),
    ("InsightView", "asOf"),
    ("TimeoutDatapointAlert", "repositories"),
    ("GenericIncompleteDatapointAlert", "repositories"),
    ("PreciseIndexConnection", "asOf"),
    ("PreciseIndex", "asOf"),
    ("LSIFUploadConnection", "asOf"),
}
"""One per projection, or one per repository of an alert."""


def test_pages_multiply_what_is_below_them() -> None:
    one = cost_of("{ insightViews(first: 1) { nodes { id } } }")
    hundred = cost_of("{ insightViews(first: 100) { nodes { id } } }")
    assert hundred > 60 * one
    assert cost_of("query($n: Int) { insightViews(first: $n) { nodes { id } } }", n=100) == hundred


@pytest.mark.parametrize("first", ["", "(first: null)", "(first: -1)", "(first: 1000)", "(first: 99999)"])
def test_an_omitted_page_size_costs_the_largest_page(first: str) -> None:
    full = cost_of("{ insightViews(first: 1000) { nodes { id title } } }")
    assert cost_of(f"{{ insightViews{first} {{ nodes {{ id title }} }} }}") == full


def test_one_insight_by_id_costs_one() -> None:
    by_id = cost_of('{ insightViews(id: "x") { nodes { id } } }')
    assert by_id == cost_of("{ insightViews(first: 1) { nodes { id } } }")


def test_fragments_cost_what_their_fields_cost() -> None:
    written = cost_of("{ insightViews(first: 10) { nodes { dataSeries { points { value } } } } }")
    spread = cost_of(
        "{ insightViews(first: 10) { nodes { ...V } } } fragment V on InsightView { dataSeries { ...S } }"
        " fragment S on InsightsSeries { points { value } }"
    )
    assert spread == written
