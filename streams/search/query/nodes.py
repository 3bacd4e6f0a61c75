"""The syntax tree. Frozen; where a node stood in the text does not count for equality."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as with_options
from enum import StrEnum
from typing import NamedTuple

from streams.search.query.fields import Field
from streams.search.query.pattern_types import PatternType


class Span(NamedTuple):
    """Offsets in code points, end exclusive."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return max(1, self.end - self.start)


class Piece(NamedTuple):
    """One word or quoted text of a pattern. ``is_regexp``: RE2 syntax, else the exact text."""

    text: str
    is_regexp: bool


@dataclass(frozen=True, slots=True)
class Pattern:
    """Words that stand together. One literal piece, or regexp pieces joined by "then, on one line"."""

    pieces: tuple[Piece, ...]
    negated: bool = False
    span: Span = with_options(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """``[-]field:value``; ``value`` without its quotes; ``value_span`` is where the value stood."""

    field: Field
    value: str
    negated: bool = False
    span: Span = with_options(default=Span(0, 0), compare=False)
    value_span: Span = with_options(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All operands, two or more: parameters first, each kind in the order in which it stood."""

    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any operand, two or more."""

    operands: tuple["Node", ...]


Node = Pattern | Parameter | And | Or


class ResultType(StrEnum):
    """What is counted: matches in contents, files by path, or repositories."""

    FILE = "file"
    PATH = "path"
    REPO = "repo"


class RepositoryType(StrEnum):
    """Which repositories a series is over when the query does not say (fork, archived)."""

    ALL = "all"
    EXPLICIT = "explicit"


class YesNoOnly(StrEnum):
    YES = "yes"
    NO = "no"
    ONLY = "only"


@dataclass(frozen=True, slots=True)
class Query:
    """A valid query.

    ``count`` limits each (repository, frame); ``timeout_s`` one pass over a repository; None = no limit.
    ``fork``/``archived`` are None when the text does not say. ``notices`` are hints for people.
    """

    node: Node
    pattern_type: PatternType
    types: frozenset[ResultType]
    count: int | None
    timeout_s: float | None
    fork: YesNoOnly | None
    archived: YesNoOnly | None
    text: str = with_options(compare=False)
    notices: tuple[str, ...] = with_options(default=(), compare=False)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    yield node
    if isinstance(node, And | Or):
        for operand in node.operands:
            yield from walk(operand)


def conjunction(operands: Sequence[Node]) -> Node:
    """One node for "all of these": nested ANDs are flattened, parameters stand before the rest."""
    flat: list[Node] = []
    for operand in operands:
        flat.extend(operand.operands if isinstance(operand, And) else (operand,))
    flat.sort(key=lambda operand: not isinstance(operand, Parameter))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(operands: Sequence[Node]) -> Node:
    """One node for "any of these"; nested ORs are flattened."""
    flat: list[Node] = []
    for operand in operands:
        flat.extend(operand.operands if isinstance(operand, Or) else (operand,))
    return flat[0] if len(flat) == 1 else Or(tuple(flat))
