"""A ``git`` command that counts one cell again, for readers who check; only where its answer is exactly ours."""

import shlex

from api.web.model import Check
from streams.search.query import Query, QueryError, ResultType, parse
from streams.search.query.fields import Field
from streams.search.query.nodes import And, Node, Parameter, Pattern
from streams.search.query.pattern_types import PatternType
from streams.search.query.values import boolean

_ABBREVIATED = 12
"""Hex digits of a commit in a command: enough for any repository, short enough to read."""

_HARMLESS = frozenset(
    {Field.CASE, Field.PATTERN_TYPE, Field.REPO, Field.FORK, Field.ARCHIVED, Field.TYPE, Field.TIMEOUT}
)
"""Fields that change nothing within one repository, or that the command's options express."""


def check_of(query: str, location: str, commit: str) -> Check:
    """How to count ``query`` at ``commit`` in the repository at ``location`` (a folder, or an address).

    ``git grep -o`` prints one line per occurrence. It is exact for one literal pattern within the limits of
    DESIGN section 8; regular expressions, path filters and boolean queries it reads differently.
    """
    if not commit:
        return Check(how="No commit is kept for a count of 0.")
    try:
        literal, ignore_case = _single_literal(parse(query))
    except (QueryError, _NotExpressible) as error:
        return Check(
            how=f"git grep counts this query differently ({_why(error)}); count it in the files of commit {commit[:10]}."
        )
    options = "-I -h -o -F" + (" -i" if ignore_case else "")
    counting = f"grep {options} -e {shlex.quote(literal)} {commit[:_ABBREVIATED]} | wc -l"
    if location.startswith("/"):
        return Check(command=f"git -C {shlex.quote(location)} {counting}")
    return Check(command=f"git {counting}", how=f"In a clone of {location}:")


class _NotExpressible(Exception):
    """Why ``git grep`` cannot stand for the query."""


def _why(error: Exception) -> str:
    return error.reason if isinstance(error, QueryError) else str(error)


def _single_literal(query: Query) -> tuple[str, bool]:
    """The text looked for, and whether case is ignored."""
    if query.count is not None:
        raise _NotExpressible("count: limits it")
    if query.types - {ResultType.FILE}:
        raise _NotExpressible("it counts paths or repositories")
    text: str | None = None
    ignore_case = True
    for leaf in _conjuncts(query.node):
        found = _literal_of(leaf, query.pattern_type)
        if found is not None:
            if text is not None:
                raise _NotExpressible("it has several patterns")
            text = found
        elif isinstance(leaf, Parameter) and leaf.field is Field.CASE:
            ignore_case = not boolean(leaf.value)
    if text is None:
        raise _NotExpressible("it has no pattern")
    if ignore_case and not text.isascii():
        raise _NotExpressible("letters beyond ASCII fold by the locale there")
    return text, ignore_case


def _conjuncts(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, And) else (node,)


def _literal_of(leaf: Node, pattern_type: PatternType) -> str | None:
    """The text of a positive literal pattern, None for a harmless field."""
    if isinstance(leaf, Pattern):
        if leaf.negated or len(leaf.pieces) != 1 or leaf.pieces[0].is_regexp:
            raise _NotExpressible("NOT is in it" if leaf.negated else "it is a regular expression")
        return leaf.pieces[0].text
    if isinstance(leaf, Parameter):
        if leaf.field is Field.CONTENT and not leaf.negated:
            if pattern_type is not PatternType.LITERAL:
                raise _NotExpressible("it is a regular expression")
            return leaf.value
        if leaf.field in _HARMLESS:
            return None
        raise _NotExpressible(f"{leaf.field.value}: is in it")
    raise _NotExpressible("it has AND, OR or NOT")
