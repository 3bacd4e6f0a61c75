"""What an operation may ask, checked in this order: tokens, then depth, aliases and directives, then cost.

(Bodies are capped before, in ``api.http.bodies``; time is watched after, in ``api.graphql.execute``.) Each stands before work
that its excess would make slow: 1,500 aliases take a second inside validation, before any cost is known.
"""

from collections.abc import Mapping

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    parse,
)

from api.commands.errors import Code


class OperationLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The most of everything. ``cost`` counts fields times the sizes of the lists around them."""

    tokens: int = 5_000
    depth: int = 15
    aliases: int = 60
    directives: int = 60
    definitions: int = 60
    fields: int = 1_500
    cost: int = 250_000
    errors: int = 20
    time_s: float = 30.0
    wait_s: float = 10.0


def limit_exceeded(limit: str, maximum: int, message: str) -> GraphQLError:
    """The error that names which limit it is."""
    return GraphQLError(
        message, extensions={"code": Code.LIMIT_EXCEEDED.value, "limit": limit, "maximum": maximum}
    )


def parsed(query: str, limits: OperationLimits) -> DocumentNode:
    """The document. Raises GraphQLError with a code."""
    try:
        return parse(query, max_tokens=limits.tokens, max_lexical_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if "token" in error.message and str(limits.tokens) in error.message:
            raise limit_exceeded(
                "tokens", limits.tokens, f"The operation has more than {limits.tokens} tokens."
            ) from error
        raise GraphQLError(
            error.message,
            source=error.source,
            positions=error.positions,
            extensions={"code": Code.GRAPHQL_PARSE_FAILED.value},
        ) from error
    except RecursionError as error:
        raise _too_deep(limits) from error


def _too_deep(limits: OperationLimits) -> GraphQLError:
    return limit_exceeded("depth", limits.depth, f"The operation nests deeper than {limits.depth}.")


def check_shape(document: DocumentNode, limits: OperationLimits) -> None:
    """Count what is written, fragments followed once each; raises GraphQLError with the limit's name."""
    if len(document.definitions) > limits.definitions:
        raise limit_exceeded(
            "definitions", limits.definitions, f"More than {limits.definitions} operations and fragments."
        )
    counts = _Counts()
    fragments: dict[str, FragmentDefinitionNode] = {}
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            fragments[definition.name.value] = definition
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            counts.directives += len(definition.directives or ())
            counts.add(definition.selection_set)
    for name, number, maximum in (
        ("aliases", counts.aliases, limits.aliases),
        ("directives", counts.directives, limits.directives),
        ("fields", counts.fields, limits.fields),
    ):
        if number > maximum:
            raise limit_exceeded(
                name, maximum, f"The operation has {number} {name}; at most {maximum} are allowed."
            )
    depths: dict[str, int] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            try:
                depth = _depth(definition.selection_set, fragments, depths, frozenset())
            except RecursionError as error:
                raise _too_deep(limits) from error
            if depth > limits.depth:
                raise limit_exceeded(
                    "depth",
                    limits.depth,
                    f"The operation nests {depth} deep; at most {limits.depth} are allowed.",
                )


class _Counts:
    def __init__(self) -> None:
        self.aliases = 0
        self.directives = 0
        self.fields = 0

    def add(self, selections: SelectionSetNode | None) -> None:
        waiting = [selections]
        while waiting:
            found = waiting.pop()
            for node in found.selections if found is not None else ():
                self.directives += len(node.directives or ())
                if isinstance(node, FieldNode):
                    self.fields += 1
                    self.aliases += node.alias is not None
                if isinstance(node, FieldNode | InlineFragmentNode):
                    waiting.append(node.selection_set)


def _depth(
    selections: SelectionSetNode | None,
    fragments: Mapping[str, FragmentDefinitionNode],
    depths: dict[str, int],
    inside: frozenset[str],
) -> int:
    if selections is None:
        return 0
    return max((_node_depth(node, fragments, depths, inside) for node in selections.selections), default=0)


def _node_depth(
    node: SelectionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    depths: dict[str, int],
    inside: frozenset[str],
) -> int:
    if isinstance(node, FieldNode):
        return 1 + _depth(node.selection_set, fragments, depths, inside)
    if isinstance(node, InlineFragmentNode):
        return _depth(node.selection_set, fragments, depths, inside)
    if not isinstance(node, FragmentSpreadNode):
        return 0
    name = node.name.value
    if name in inside or name not in fragments:
        return 0  # a circle or an unknown name: validation refuses it
    if name not in depths:
        depths[name] = _depth(fragments[name].selection_set, fragments, depths, inside | {name})
    return depths[name]
