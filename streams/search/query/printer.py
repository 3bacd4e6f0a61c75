"""From a query back to text that parses to the same query. Parameters are printed before the pattern."""

import re

from streams.search.query.errors import QueryError
from streams.search.query.fields import RULES, Field
from streams.search.query.nodes import And, Node, Or, Parameter, Pattern, Piece, Query
from streams.search.query.parser import parse
from streams.search.query.pattern_types import PatternType
from streams.search.query.scanner import scan_delimited

_PLAIN_WORD = re.compile(r"[\w.*+?^$|\[\]\\{}<>=,;!#%&@~-]+")
_KEYWORDS = frozenset({"and", "or", "not"})


def print_query(query: Query) -> str:
    """Canonical text: ``parse(print_query(q), q.pattern_type)`` equals ``q``."""
    printer = _Printer(query.pattern_type)
    for candidate in (printer.top(query.node, grouped=False), printer.top(query.node, grouped=True)):
        try:
            if parse(candidate, query.pattern_type) == query:
                return candidate
        except QueryError:
            continue
    return query.text


class _Printer:
    def __init__(self, pattern_type: PatternType) -> None:
        self._pattern_type = pattern_type

    def top(self, node: Node, *, grouped: bool) -> str:
        """An OR below filters needs no brackets where hoisting reads it back."""
        if not isinstance(node, And):
            return self._print(node)
        return _sequence(
            node,
            [
                self._print(part) if isinstance(part, Or) and not grouped else self._operand(part)
                for part in node.operands
            ],
        )

    def _print(self, node: Node) -> str:
        match node:
            case Parameter():
                return _parameter(node)
            case Pattern():
                words = " ".join(_piece(piece, self._pattern_type) for piece in node.pieces)
                return f"NOT {words}" if node.negated else words
            case And():
                return _sequence(node, [self._operand(part) for part in node.operands])
            case Or():
                return " OR ".join(self._print(part) for part in node.operands)

    def _operand(self, node: Node) -> str:
        return f"({self._print(node)})" if isinstance(node, Or) else self._print(node)


def _sequence(node: And, parts: list[str]) -> str:
    """Parameters first, side by side; patterns and groups joined by AND."""
    pairs = list(zip(node.operands, parts, strict=True))
    parameters = [text for part, text in pairs if isinstance(part, Parameter)]
    others = [text for part, text in pairs if not isinstance(part, Parameter)]
    return " ".join([*parameters, " AND ".join(others)]).strip()


def _parameter(node: Parameter) -> str:
    sign = "-" if node.negated else ""
    return f"{sign}{RULES[node.field].shown}:{_value(node.field, node.value)}"


def _value(field: Field, value: str) -> str:
    plain = value and not any(char.isspace() or char in "\"'()\\" for char in value)
    if plain or (field in (Field.REPO, Field.FILE) and _is_simple_regexp(value)):
        return value
    out = []
    at = 0
    while at < len(value):
        pair = value[at : at + 2]
        char = value[at]
        if char == "\\" and len(pair) == 2 and pair[1] in "abfv":
            out.append("\\" + pair)
            at += 2
            continue
        out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}.get(char, char))
        at += 1
    return '"' + "".join(out) + '"'


def _is_simple_regexp(value: str) -> bool:
    """Backslashes before punctuation, as in ``\\.go$``, read back as they are."""
    return (
        value[:1] not in ("'", '"')
        and not any(char.isspace() or char in "()" for char in value)
        and not value.endswith("\\")
    )


def _piece(piece: Piece, pattern_type: PatternType) -> str:
    if pattern_type is PatternType.LITERAL or (
        piece.is_regexp and _PLAIN_WORD.fullmatch(piece.text) and piece.text.lower() not in _KEYWORDS
    ):
        return piece.text
    if not piece.is_regexp:
        for delimiter in ('"', "'"):
            quoted = delimiter + _lax(piece.text, delimiter) + delimiter
            if scan_delimited(quoted, 0) == (piece.text, len(quoted)):
                return quoted
        return piece.text
    return f"/{_lax(piece.text, '/')}/"


def _lax(text: str, delimiter: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text) and text[at + 1] != delimiter:
            out.append(text[at : at + 2])
            at += 2
            continue
        out.append("\\" + char if char == delimiter else char)
        at += 1
    return "".join(out)
