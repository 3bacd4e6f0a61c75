"""What the grammar does with parsed words: neighbours are joined, filters at the ends are hoisted."""

from streams.search.query.nodes import (
    And,
    Node,
    Or,
    Parameter,
    Pattern,
    Piece,
    Span,
    conjunction,
    disjunction,
    walk,
)
from streams.search.query.pattern_types import PatternType


def joined(text: str, nodes: list[Node], pattern_type: PatternType) -> list[Node]:
    """Neighbouring words become one pattern; filters between them do not part them."""
    out: list[Node] = []
    open_run: Pattern | None = None
    for node in nodes:
        if isinstance(node, Pattern) and not node.negated and open_run is not None:
            merged = _merged(text, open_run, node, pattern_type)
            out[next(i for i, known in enumerate(out) if known is open_run)] = merged
            open_run = merged
            continue
        out.append(node)
        if not isinstance(node, Parameter):
            open_run = node if isinstance(node, Pattern) and not node.negated else None
    return out


def _merged(text: str, left: Pattern, right: Pattern, pattern_type: PatternType) -> Pattern:
    span = Span(left.span.start, right.span.end)
    if pattern_type is PatternType.REGEXP:
        return Pattern(left.pieces + right.pieces, False, span)
    between = text[left.span.end : right.span.start]
    glue = between if not between or between.isspace() else " "
    return Pattern((Piece(left.pieces[0].text + glue + right.pieces[0].text, False),), False, span)


def hoisted(node: Node) -> Node:
    """Without brackets, filters at the start and the end hold for the whole pattern expression between them."""
    if not isinstance(node, Or):
        return node
    leaves = [leaf for leaf in walk(node) if isinstance(leaf, Pattern | Parameter)]
    patterns = [leaf.span for leaf in leaves if isinstance(leaf, Pattern)]
    parameters = [leaf for leaf in leaves if isinstance(leaf, Parameter)]
    if not patterns or not parameters:
        return node
    first = min(span.start for span in patterns)
    last = max(span.end for span in patterns)
    if any(first < parameter.span.start < last for parameter in parameters):
        return node
    operands = [_without_parameters(operand) for operand in node.operands]
    if any(operand is None for operand in operands):
        return node
    kept = [operand for operand in operands if operand is not None]
    return conjunction([*parameters, disjunction(kept)])


def _without_parameters(node: Node) -> Pattern | And | Or | None:
    if isinstance(node, Parameter):
        return None
    if isinstance(node, And):
        kept = [operand for operand in node.operands if not isinstance(operand, Parameter)]
        if not kept:
            return None
        return kept[0] if len(kept) == 1 else And(tuple(kept))
    return node
