"""Recursive descent over the query text (grammar: Or := And {OR And}; And := Sequence {AND Sequence})."""

from streams.search.query.assembly import hoisted, joined
from streams.search.query.errors import QueryError
from streams.search.query.fields import Field
from streams.search.query.nodes import (
    Node,
    Parameter,
    Pattern,
    Piece,
    Query,
    Span,
    conjunction,
    disjunction,
)
from streams.search.query.notices import notices_of
from streams.search.query.pattern_types import PatternType
from streams.search.query.scanner import (
    field_at,
    scan_balanced,
    scan_delimited,
    scan_quoted,
    scan_word,
    skip_spaces,
)
from streams.search.query.validate import pattern_type_of, validated

MAX_QUERY_LENGTH = 20_000
_MAX_DEPTH = 100
_USE_CONTENT = 'to search for brackets or words like AND as text, use content:"..."'


def parse(text: str, default_pattern_type: PatternType | str = PatternType.LITERAL) -> Query:
    """Parse and validate. Raises QueryError with a position for everything that this build cannot run.

    ``patternType:`` in the text overrides ``default_pattern_type``.
    """
    node, pattern_type = syntax_tree(text, PatternType(default_pattern_type))
    return validated(text, node, pattern_type, notices_of(text, node))


def syntax_tree(text: str, default: PatternType) -> tuple[Node, PatternType]:
    """The tree, its fields not looked at yet, and the pattern type that holds. Raises QueryError."""
    if len(text) > MAX_QUERY_LENGTH:
        raise QueryError(
            f"the query is longer than {MAX_QUERY_LENGTH} characters", text=text, position=MAX_QUERY_LENGTH
        )
    node = _syntax_tree(text, default)
    stated = pattern_type_of(text, node)
    if stated is not None and stated is not default:
        node = _syntax_tree(text, stated)
    return node, stated or default


def _syntax_tree(text: str, pattern_type: PatternType) -> Node:
    """Brackets group where that is clear; where they do not balance, all of them are text."""
    parser = _Parser(text, pattern_type, brackets_are_text=False)
    try:
        return parser.parse()
    except _UnbalancedBracket as unbalanced:
        try:
            return _Parser(text, pattern_type, brackets_are_text=True).parse()
        except QueryError:
            raise unbalanced from None


class _UnbalancedBracket(QueryError):
    """A bracket without its partner."""


class _Parser:
    def __init__(self, text: str, pattern_type: PatternType, *, brackets_are_text: bool) -> None:
        self._text = text
        self._pattern_type = pattern_type
        self._brackets_are_text = brackets_are_text
        self._at = 0
        self._depth = 0
        self._grouped = False

    def parse(self) -> Node:
        if skip_spaces(self._text, 0) == len(self._text):
            raise QueryError("the query is empty", text=self._text, position=0)
        node = self._or()
        if self._at < len(self._text):
            raise self._unbalanced("this bracket closes nothing", self._at)
        return node if self._grouped else hoisted(node)

    def _or(self) -> Node:
        operands = [self._and()]
        while self._keyword("or"):
            operands.append(self._and())
        return disjunction(operands)

    def _and(self) -> Node:
        operands = [self._sequence()]
        while self._keyword("and"):
            operands.append(self._sequence())
        return conjunction(operands)

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while True:
            self._at = skip_spaces(self._text, self._at)
            if self._at >= len(self._text) or self._peek_keyword("or") or self._peek_keyword("and"):
                break
            char = self._text[self._at]
            if char == ")" and not self._brackets_are_text:
                break
            if char == "(" and not self._brackets_are_text:
                nodes.append(self._bracket())
            elif self._peek_not():
                nodes.append(self._negation())
            else:
                nodes.append(self._leaf())
        if not nodes:
            missing = "something to search for is missing here"
            if self._text.startswith(")", self._at) or self._text.count("(") != self._text.count(")"):
                raise self._unbalanced(missing, self._at)
            raise QueryError(missing, text=self._text, position=self._at, remedy=_USE_CONTENT)
        return conjunction(joined(self._text, nodes, self._pattern_type))

    def _bracket(self) -> Node:
        start = self._at
        end = scan_balanced(self._text, start)
        if end is not None:
            return self._pattern_to(end)
        self._grouped = True
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise QueryError("brackets are nested too deeply", text=self._text, position=start)
        self._at += 1
        node = self._or()
        if self._at >= len(self._text):
            raise self._unbalanced("this bracket is never closed", start)
        self._at += 1
        self._depth -= 1
        return node

    def _negation(self) -> Node:
        start = self._at
        self._at = skip_spaces(self._text, self._at + len("not"))
        if self._at >= len(self._text):
            raise QueryError("NOT needs something after it", text=self._text, position=start, length=3)
        if self._text[self._at] == "(" and not self._brackets_are_text:
            raise QueryError(
                "NOT stands before one pattern or filter, never before brackets; negate each part instead",
                text=self._text,
                position=start,
                length=self._at + 1 - start,
            )
        node = self._leaf()
        if node.negated:
            raise QueryError(
                "NOT before a filter that is negated already; remove one of the two",
                text=self._text,
                position=start,
                length=node.span.end - start,
            )
        if isinstance(node, Parameter):
            return Parameter(node.field, node.value, True, Span(start, node.span.end), node.value_span)
        return Pattern(node.pieces, True, Span(start, node.span.end))

    def _leaf(self) -> Pattern | Parameter:
        found = field_at(self._text, self._at)
        if found is not None:
            return self._parameter(*found)
        if self._pattern_type is PatternType.REGEXP and self._text[self._at] in "\"'/":
            delimited = scan_delimited(self._text, self._at)
            if delimited is not None and self._ends_word(delimited[1]):
                value, end = delimited
                piece = Piece(value, self._text[self._at] == "/")
                span = Span(self._at, end)
                self._at = end
                return Pattern((piece,), False, span)
        word_end = None if self._brackets_are_text else scan_balanced(self._text, self._at)
        if word_end is None or word_end == self._at:
            word_end = scan_word(self._text, self._at, brackets=self._brackets_are_text)
        return self._pattern_to(max(word_end, self._at + 1))

    def _pattern_to(self, end: int) -> Pattern:
        span = Span(self._at, end)
        is_regexp = self._pattern_type is PatternType.REGEXP
        word = self._text[span.start : span.end]
        self._at = end
        return Pattern((Piece(_plain_slashes(word) if is_regexp else word, is_regexp),), False, span)

    def _parameter(self, field: Field, negated: bool, value_start: int) -> Parameter:
        start = self._at
        text = self._text
        if value_start < len(text) and text[value_start] in "\"'":
            value, end = scan_quoted(text, value_start)
            if not self._ends_word(end):
                raise QueryError("white space is missing after the closing quote", text=text, position=end)
        else:
            balanced = None if self._brackets_are_text else scan_balanced(text, value_start)
            if balanced is None:
                balanced = scan_word(text, value_start, brackets=self._brackets_are_text)
            end = balanced
            value = text[value_start:end].replace("\\ ", " ")
        self._at = end
        return Parameter(field, value, negated, Span(start, end), Span(value_start, end))

    def _ends_word(self, at: int) -> bool:
        if at >= len(self._text) or self._text[at].isspace():
            return True
        return self._text[at] == ")" and self._depth > 0

    def _peek_not(self) -> bool:
        at = self._at
        if self._text[at : at + 3].lower() != "not":
            return False
        before_ok = at == 0 or self._text[at - 1].isspace() or self._text[at - 1] in "()"
        return before_ok and self._text[at + 3 : at + 4].isspace()

    def _peek_keyword(self, word: str) -> bool:
        at, end = self._at, self._at + len(word)
        if at == 0 or self._text[at:end].lower() != word:
            return False
        before, after = self._text[at - 1], self._text[end : end + 1]
        return (before.isspace() or before == ")") and (after.isspace() or after == "(")

    def _keyword(self, word: str) -> bool:
        if not self._peek_keyword(word):
            return False
        self._at += len(word)
        return True

    def _unbalanced(self, reason: str, position: int) -> _UnbalancedBracket:
        return _UnbalancedBracket(
            f"{reason}; {_USE_CONTENT}", text=self._text, position=position, remedy=_USE_CONTENT
        )


def _plain_slashes(regexp: str) -> str:
    r"""``\/`` means ``/``; one spelling, so that printing is stable."""
    out: list[str] = []
    at = 0
    while at < len(regexp):
        pair = regexp[at : at + 2]
        width = 2 if pair.startswith("\\") and len(pair) == 2 else 1
        out.append("/" if pair == "\\/" else regexp[at : at + width])
        at += width
    return "".join(out)
