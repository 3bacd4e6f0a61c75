"""Which projections an operation reads: its root fields say so, and some fields further down."""

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values

from api.graphql.schema import executable_schema
from api.graphql.waits import needs_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{ repositories { nodes { name } } }", {"repositories"}),
        (
            "{ repositories { nodes { codeIntelligenceCommitGraph { stale } } } }",
            {"repositories", "commit_graph"},
        ),
        (
            'query { repository(name: "a/b") { ...F } } fragment F on Repository { ... on Repository { g: visibleUploads(commit: "") { id } } }',
            {"repositories", "commit_graph"},
        ),
        ("{ site { id } }", set()),
    ],
)
def test_a_field_further_down_names_what_it_reads(text: str, wanted: set[str]) -> None:
    document = parse(text)
    (operation,) = (one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    fragments = {
        one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
    }
    variables = get_variable_values(executable_schema(), (), {})
    assert isinstance(variables, VariableValues)
    assert needs_of(executable_schema(), operation, fragments, variables).projections == wanted
