"""Operations made from the schema: everything that a root field can answer, and arguments that fit whatever it takes."""

from typing import Final

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)
from graphql.type import GraphQLInputType

DEPTH: Final = 6
LEFT_OUT: Final = frozenset({"asOf"})
"""How far the log was read: the same for everybody, and another number with every event."""


def whole(schema: GraphQLSchema, field: GraphQLField, depth: int = DEPTH) -> str:
    """Selections of everything below ``field`` that needs no argument; empty for a leaf."""
    return _selections(schema, get_named_type(field.type), depth)


def _selections(schema: GraphQLSchema, found: GraphQLNamedType, depth: int) -> str:
    if isinstance(found, GraphQLUnionType | GraphQLInterfaceType):
        parts = [
            f"... on {one.name} {inner}"
            for one in schema.get_possible_types(found)
            if (inner := _object(schema, one, depth, prefix=f"{one.name}_"))
        ]
        return "{ __typename " + " ".join(parts) + " }"
    if isinstance(found, GraphQLObjectType):
        return _object(schema, found, depth, prefix="")
    return ""


def _object(schema: GraphQLSchema, found: GraphQLObjectType, depth: int, *, prefix: str) -> str:
    parts = ["__typename"]
    for name, field in found.fields.items():
        if name in LEFT_OUT or any(is_required_argument(one) for one in field.args.values()):
            continue
        inner = _selections(schema, get_named_type(field.type), depth - 1) if depth else ""
        leaf = not isinstance(
            get_named_type(field.type), GraphQLObjectType | GraphQLUnionType | GraphQLInterfaceType
        )
        if leaf or inner:
            parts.append(f"{f'{prefix}{name}: ' if prefix else ''}{name}{inner}")
    return "{ " + " ".join(parts) + " }"


def fitting(field: GraphQLField) -> str:
    """Literals for the arguments that ``field`` requires: of the right types, and about nothing that there is."""
    given = [f"{name}: {_literal(one.type)}" for name, one in field.args.items() if is_required_argument(one)]
    return f"({', '.join(given)})" if given else ""


def _literal(kind: GraphQLInputType) -> str:
    if is_non_null_type(kind):
        return _literal(kind.of_type)
    if is_list_type(kind):
        return f"[{_literal(kind.of_type)}]"
    named = get_named_type(kind)
    if isinstance(named, GraphQLEnumType):
        return str(next(iter(named.values)))
    if isinstance(named, GraphQLInputObjectType):
        fields = [
            f"{name}: {_literal(one.type)}"
            for name, one in named.fields.items()
            if is_required_input_field(one)
        ]
        return "{ " + ", ".join(fields) + " }"
    return {"Int": "1", "Float": "1", "Boolean": "true"}.get(named.name, '"x"')
