"""Content expressions: what is asked of the contents of one file, the path being known already."""

from dataclasses import dataclass

from streams.search import regex
from streams.search.query.nodes import Pattern, Piece


@dataclass(frozen=True, slots=True)
class Term:
    """One pattern. ``source`` is RE2; ``literal`` is set where the pattern is an exact text.

    ``captures``: group 1 of each match is wanted.
    """

    source: str
    case_sensitive: bool
    literal: str | None = None
    captures: bool = False


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Holds where the term matches nowhere. Gives no ranges."""

    term: Term


@dataclass(frozen=True, slots=True)
class AllOf:
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """What a filter on the path came to."""

    value: bool


Expression = Term | NoneOf | AllOf | AnyOf | Constant

ALWAYS = Constant(True)
NEVER = Constant(False)


def all_of(operands: list[Expression]) -> Expression:
    """AND with constants folded away."""
    kept = [operand for operand in operands if operand != ALWAYS]
    if NEVER in kept:
        return NEVER
    if not kept:
        return ALWAYS
    return kept[0] if len(kept) == 1 else AllOf(tuple(kept))


def any_of(operands: list[Expression]) -> Expression:
    """OR with constants folded away; a true constant stays, since the ranges of the others still count."""
    kept = [operand for operand in operands if operand != NEVER]
    if not kept:
        return NEVER
    return kept[0] if len(kept) == 1 else AnyOf(tuple(kept))


def terms_of(expression: Expression) -> tuple[Term, ...]:
    """Every term, each once, in order of appearance."""
    found: dict[Term, None] = {}
    _collect(expression, found)
    return tuple(found)


def _collect(expression: Expression, found: dict[Term, None]) -> None:
    match expression:
        case Term():
            found.setdefault(expression)
        case NoneOf():
            found.setdefault(expression.term)
        case AllOf() | AnyOf():
            for operand in expression.operands:
                _collect(operand, found)
        case Constant():
            pass


def term_of(pattern: Pattern, *, case_sensitive: bool, captures: bool) -> Term:
    """The term of a pattern of the query, negation left aside."""
    return _term(pattern.pieces, case_sensitive=case_sensitive, captures=captures)


def term_of_text(text: str, *, is_regexp: bool, case_sensitive: bool, captures: bool) -> Term:
    """The term of a ``content:`` value."""
    return _term((Piece(text, is_regexp),), case_sensitive=case_sensitive, captures=captures)


def _term(pieces: tuple[Piece, ...], *, case_sensitive: bool, captures: bool) -> Term:
    literal = pieces[0].text if len(pieces) == 1 and not pieces[0].is_regexp else None
    source = regex.source_of(pieces)
    return Term(source, case_sensitive, literal, captures and regex.groups(source) > 0)
