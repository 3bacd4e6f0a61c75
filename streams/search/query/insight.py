"""What a query needs to be a series of a code insight."""

from streams.search import regex
from streams.search.query.errors import QueryError
from streams.search.query.fields import Field
from streams.search.query.nodes import Node, Parameter, Pattern, Piece, Query, walk
from streams.search.query.pattern_types import PatternType


def validate_for_insight(query: Query, kind: str = "search") -> None:
    """Raises QueryError where a valid query makes no sense as a series over time.

    ``kind`` is ``search`` or ``capture``; a capture series needs ``patternType:regexp`` and a group.
    """
    if kind != "capture":
        return
    patterns = [leaf for leaf in walk(query.node) if _is_pattern(leaf)]
    if query.pattern_type is not PatternType.REGEXP or not patterns:
        raise QueryError(
            "a series of captured values needs a regular expression",
            text=query.text,
            position=0,
            length=len(query.text),
            remedy="Use patternType:regexp and a group, such as version=([0-9.]+).",
        )
    if not any(regex.groups(pattern_source(leaf)) for leaf in patterns):
        first = patterns[0].span if isinstance(patterns[0], Pattern | Parameter) else None
        quoted = next((leaf for leaf in patterns if isinstance(leaf, Pattern) and _hides_a_group(leaf)), None)
        if quoted is not None:
            raise QueryError(
                "what stands in quotes is plain text, so its brackets are no group",
                text=query.text,
                position=quoted.span.start,
                length=quoted.span.length,
                remedy="Leave the quotes out, or use slashes: /version=([0-9.]+)/.",
            )
        raise QueryError(
            "a series of captured values needs a group in brackets",
            text=query.text,
            position=0 if first is None else first.start,
            length=len(query.text) if first is None else first.length,
            remedy="Put what is to be counted in brackets, such as version=([0-9.]+).",
        )


def pattern_source(leaf: Node) -> str:
    """RE2 source of a pattern or of a ``content:`` value in regexp mode."""
    if isinstance(leaf, Pattern):
        return regex.source_of(leaf.pieces)
    if isinstance(leaf, Parameter):
        return regex.source_of((Piece(leaf.value, True),))
    raise TypeError(f"{type(leaf).__name__} holds no pattern of its own")


def _hides_a_group(leaf: Pattern) -> bool:
    """Whether quotes alone keep the brackets of this pattern from being a group."""
    return any(not piece.is_regexp and _is_grouped(piece.text) for piece in leaf.pieces)


def _is_grouped(text: str) -> bool:
    return regex.problem(text) is None and bool(regex.groups(text))


def _is_pattern(leaf: Node) -> bool:
    if isinstance(leaf, Pattern):
        return not leaf.negated
    return isinstance(leaf, Parameter) and leaf.field is Field.CONTENT and not leaf.negated
