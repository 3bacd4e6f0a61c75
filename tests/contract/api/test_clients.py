"""Operations as clients of the reference's public API send them: each must be valid here, and cost no more than allowed.

They are written from the published schema and from what its clients are known to ask: the web application's lists and
charts, the command line client's repositories and its check of an installation, scripts that create insights.
"""

import pytest
from graphql import parse, specified_rules, validate

from api.graphql.cost import cost_rule
from api.graphql.limits import OperationLimits, check_shape, parsed
from api.graphql.schema import executable_schema
from tests.contract.api.operations import OPERATIONS

LIMITS = OperationLimits()
VARIABLES = {
    **{"id": "x", "query": "repo:x", "input": {}, "repoName": "host/x"},
    **{"namespace": "u", "description": "d", "trigger": "t", "email": {}, "webhook": {}, "slackWebhook": {}},
}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_client_s_operation_is_valid_and_within_all_limits(name: str) -> None:
    schema = executable_schema()
    document = parsed(OPERATIONS[name], LIMITS)
    check_shape(document, LIMITS)
    assert validate(schema, document, specified_rules) == []
    assert validate(schema, parse(OPERATIONS[name]), [cost_rule(schema, LIMITS.cost, VARIABLES)]) == []
