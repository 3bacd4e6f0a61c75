"""What may surprise in a query that is valid: words that look like a field or an operator, and are searched for as text."""

import difflib
from collections.abc import Iterator
from typing import Final

from streams.search.query.fields import ALIASES, RULES
from streams.search.query.nodes import Node, Pattern, Span, walk
from streams.search.query.scanner import unknown_field_at

_OPERATORS: Final = frozenset({"and", "or"})
_QUOTES: Final = ("'", '"', "/")


def notices_of(text: str, node: Node) -> tuple[str, ...]:
    """One sentence for each, in the order of the text, none twice."""
    leaves = [leaf for leaf in walk(node) if isinstance(leaf, Pattern)]
    found: list[str] = []
    for leaf in sorted(leaves, key=lambda leaf: leaf.span):
        found += _field_like(text, leaf.span)
        found += _operator_like(text, leaf.span)
    return tuple(dict.fromkeys(found))


def _field_like(text: str, span: Span) -> Iterator[str]:
    """``nosuch:value``. Not ``http://``, ``std::vector`` or ``TODO: x``, unless a field is called nearly so."""
    name = unknown_field_at(text, span.start)
    if name is None:
        return
    close = difflib.get_close_matches(name.lower(), [a for a in ALIASES if len(a) > 2], n=1, cutoff=0.75)
    if close:
        yield (
            f"{name}: is no field and is searched for as text; did you mean {RULES[ALIASES[close[0]]].shown}:?"
        )
        return
    after = text[text.index(":", span.start) + 1 :][:1]
    if after and not after.isspace() and after not in ":/":
        yield f"{name}: is no field and is searched for as text"


def _operator_like(text: str, span: Span) -> Iterator[str]:
    """An AND or OR with nothing before or after it."""
    words = text[span.start : span.end].split()
    if len(words) < 2 or words[0].startswith(_QUOTES):
        return
    for word, place in ((words[0], "before"), (words[-1], "after")):
        if word.lower() in _OPERATORS:
            yield f"{word} is searched for as text, since nothing stands {place} it"
