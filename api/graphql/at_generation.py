"""``@atGeneration``: a query that reads numbered generations in place of the live ones."""

from collections.abc import Mapping
from typing import Final

from graphql import GraphQLSchema, OperationDefinitionNode
from graphql.execution.values import VariableValues, get_argument_values

from api.auth.user import User
from api.commands.errors import ApiError, Code, InputRefused
from api.graphql.waits import Needs
from projections.catalogue import PROJECTIONS, UnknownProjection
from projections.catalogue import projection as declared
from projections.chosen import unread

DIRECTIVE: Final = "atGeneration"
_TOPICS: Final[Mapping[str, frozenset[str]]] = {
    one.name: frozenset(topic.value for topic in one.topics) for one in PROJECTIONS
}


def generations_asked(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: VariableValues
) -> dict[str, int]:
    """Projection -> number, as the directives of a valid operation say. Raises InputRefused, GraphQLError."""
    definition = schema.get_directive(DIRECTIVE)
    found: dict[str, int] = {}
    for node in operation.directives or ():
        if definition is None or node.name.value != DIRECTIVE:
            continue
        given = get_argument_values(definition, node, variables)
        name, number = str(given["projection"]), int(given["generation"])
        try:
            declared(name)
        except UnknownProjection as error:
            raise InputRefused(DIRECTIVE, str(error), remedy=error.remedy) from error
        if found.get(name, number) != number:
            raise InputRefused(
                DIRECTIVE,
                f"generations {found[name]} and {number} of {name} were asked for",
                remedy="One answer reads one generation of each projection.",
            )
        found[name] = number
    return found


def check_asked(at: Mapping[str, int], needs: Needs, user: User) -> None:
    """Whether ``user`` may read ``at``, and whether it goes with what the operation needs. Raises ApiError."""
    if not at:
        return
    if not user.site_admin:
        raise ApiError(
            Code.NOT_PERMITTED,
            "Only a site admin may read another generation than the live one.",
            remedy="Leave @atGeneration out, or ask a site admin.",
        )
    if unknown := unread(at, needs.projections):
        raise InputRefused(
            DIRECTIVE,
            f"this operation does not read {' and '.join(unknown)}",
            remedy="It reads " + (", ".join(sorted(needs.projections)) or "no projection") + ".",
        )
    for name in at:
        for position in needs.positions:
            if position.topic in _TOPICS[name]:
                raise InputRefused(
                    "minPosition",
                    f"generation {at[name]} of {name} stands where it is and is not waited for",
                    remedy="Leave minPosition or @atGeneration out.",
                )
