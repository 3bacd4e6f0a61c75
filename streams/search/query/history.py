"""Queries over commits and diffs: what a code monitor looks for. The same language, with the fields of history.

``type:diff`` matches changed lines, ``type:commit`` messages. Every other field of the grammar is an error with its position.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streams.search.query import values
from streams.search.query.errors import QueryError
from streams.search.query.fields import RULES, Field
from streams.search.query.nodes import Node, Or, Parameter, Pattern, Query, walk
from streams.search.query.parser import syntax_tree
from streams.search.query.pattern_types import PatternType
from streams.search.query.validate import (
    check_content_once,
    check_pattern,
    check_predicate,
    check_regexp,
    check_repeated,
    check_repositories,
    value_of,
)

MAX_REVISIONS: Final = 20
_NO_NAME: Final = re.compile(r"[*^~?\[\]\\\s:\x00-\x1f\x7f]|\.\.|@\{|^-|^$")
"""What no branch and no tag is called: ranges, globs, steps back."""


class HistoryType(StrEnum):
    """What a query looks at."""

    DIFF = "diff"
    COMMIT = "commit"


class Side(StrEnum):
    """Which changed lines count."""

    ADDED = "commit.diff.added"
    REMOVED = "commit.diff.removed"


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """A valid query over history. ``query`` chooses repositories; ``revisions`` empty: the default branch."""

    query: Query
    type: HistoryType
    side: Side | None
    revisions: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.query.text


BUILT: Final = frozenset(
    (
        Field.REPO,
        Field.FILE,
        Field.CONTENT,
        Field.TYPE,
        Field.CASE,
        Field.PATTERN_TYPE,
        Field.FORK,
        Field.ARCHIVED,
        Field.REV,
        Field.SELECT,
        Field.AUTHOR,
        Field.MESSAGE,
    )
)
_WHOLE: Final = frozenset(
    (Field.TYPE, Field.PATTERN_TYPE, Field.FORK, Field.ARCHIVED, Field.REV, Field.SELECT)
)
"""Fields that hold for the whole query, so they cannot stand in one operand of an OR."""


def parse_history(text: str, default_pattern_type: PatternType | str = PatternType.LITERAL) -> HistoryQuery:
    """Parse and validate a query over commits or diffs. Raises QueryError with a position."""
    node, pattern_type = syntax_tree(text, PatternType(default_pattern_type))
    leaves = [leaf for leaf in walk(node) if isinstance(leaf, Parameter | Pattern)]
    seen: dict[Field, Parameter] = {}
    for leaf in sorted(leaves, key=lambda leaf: leaf.span):
        if isinstance(leaf, Pattern):
            check_pattern(text, leaf)
        else:
            _check(text, leaf, pattern_type)
            check_repeated(text, leaf, seen)
    check_content_once(text, node)
    _check_whole(text, node)
    check_repositories(text, node)
    found = {leaf.field: leaf for leaf in leaves if isinstance(leaf, Parameter)}
    kind = _type(text, [leaf for leaf in leaves if isinstance(leaf, Parameter)])
    side = found.get(Field.SELECT)
    if side is not None and kind is HistoryType.COMMIT:
        raise _at(text, side, "select:commit.diff.* needs type:diff")
    fork, archived = found.get(Field.FORK), found.get(Field.ARCHIVED)
    revisions = found.get(Field.REV)
    return HistoryQuery(
        query=Query(
            node=node,
            pattern_type=pattern_type,
            types=frozenset(),
            count=None,
            timeout_s=None,
            fork=None if fork is None else values.yes_no_only(fork.value),
            archived=None if archived is None else values.yes_no_only(archived.value),
            text=text,
        ),
        type=kind,
        side=None if side is None else _side(side.value),
        revisions=() if revisions is None else _revisions(revisions.value),
    )


def _check(text: str, leaf: Parameter, pattern_type: PatternType) -> None:
    rule = RULES[leaf.field]
    if leaf.field not in BUILT:
        raise _at(
            text, leaf, f"{rule.shown}: cannot be used in a search over commits or diffs of this version"
        )
    if leaf.negated and not rule.negatable:
        raise _at(text, leaf, f"{rule.shown}: cannot be negated")
    if not leaf.value:
        raise _at(text, leaf, f"{rule.shown}: needs a value")
    match leaf.field:
        case Field.REPO:
            at = leaf.value.find("@")
            if at >= 0:
                raise QueryError(
                    "revisions after @ are not built; give them as rev:",
                    text=text,
                    position=leaf.value_span.start + at,
                    length=leaf.value_span.length - at,
                    remedy=f"repo:{leaf.value[:at]} rev:{leaf.value[at + 1 :]}",
                )
            check_predicate(text, leaf)
            check_regexp(text, leaf.value, leaf.value_span)
        case Field.FILE:
            check_predicate(text, leaf)
            check_regexp(text, leaf.value, leaf.value_span)
        case Field.AUTHOR | Field.MESSAGE:
            check_regexp(text, leaf.value, leaf.value_span)
        case Field.CONTENT:
            if pattern_type is PatternType.REGEXP:
                check_regexp(text, leaf.value, leaf.value_span)
        case Field.CASE:
            value_of(text, leaf, values.boolean)
        case Field.FORK | Field.ARCHIVED:
            value_of(text, leaf, values.yes_no_only)
        case Field.SELECT:
            value_of(text, leaf, _side)
        case Field.REV:
            value_of(text, leaf, _revisions)
        case Field.TYPE:
            value_of(text, leaf, _history_type)
        case _:
            value_of(text, leaf, values.pattern_type)


def _check_whole(text: str, node: Node) -> None:
    for inner in walk(node):
        if not isinstance(inner, Or):
            continue
        for below in walk(inner):
            if isinstance(below, Parameter) and below.field in _WHOLE:
                raise _at(
                    text,
                    below,
                    f"{RULES[below.field].shown}: holds for the whole query and cannot stand in one part of an OR; "
                    "put the OR in brackets and the filter outside",
                )


def _type(text: str, leaves: list[Parameter]) -> HistoryType:
    stated = [leaf for leaf in leaves if leaf.field is Field.TYPE]
    if not stated:
        raise QueryError(
            "all branches must be type:diff or type:commit",
            text=text,
            position=0,
            length=len(text),
            remedy="Add type:diff to look at changed lines, or type:commit to look at messages.",
        )
    kinds = {_history_type(leaf.value) for leaf in stated}
    if len(kinds) > 1:
        raise _at(text, stated[1], "type:diff and type:commit cannot be combined; make two monitors")
    return kinds.pop()


def _history_type(value: str) -> HistoryType:
    try:
        return HistoryType(value.lower())
    except ValueError:
        hint = values.did_you_mean(value, HistoryType)
        raise ValueError(f"{value!r} is neither diff nor commit{hint}") from None


def _side(value: str) -> Side:
    try:
        return Side(value.lower())
    except ValueError:
        raise ValueError(f"{value!r} is neither commit.diff.added nor commit.diff.removed") from None


def _revisions(value: str) -> tuple[str, ...]:
    found = tuple(value.split(":"))
    for one in found:
        if _NO_NAME.search(one):
            raise ValueError(f"{one!r} is no name of a branch or tag")
    if len(found) > MAX_REVISIONS:
        raise ValueError(f"{len(found)} revisions; at most {MAX_REVISIONS} are searched")
    return found


def _at(text: str, leaf: Parameter, reason: str) -> QueryError:
    return QueryError(reason, text=text, position=leaf.span.start, length=leaf.span.length)
