"""The typed way to the operation behind a resolver."""

from typing import TypeAlias

from graphql import GraphQLResolveInfo

from api.graphql.operation import Operation

Info: TypeAlias = GraphQLResolveInfo


def operation_of(info: Info) -> Operation:
    """The operation that this field belongs to."""
    found = info.context
    if not isinstance(found, Operation):
        raise TypeError("resolvers run within an Operation")
    return found
