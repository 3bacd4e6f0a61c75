"""From a syntax tree to a valid ``Query``: fields known and built, values readable, patterns valid RE2."""

import re
from collections.abc import Callable
from typing import TypeVar

from streams.search import languages, regex
from streams.search.query import values
from streams.search.query.errors import QueryError
from streams.search.query.fields import FILE_PREDICATES, REPO_PREDICATES, RULES, Field
from streams.search.query.nodes import And, Node, Or, Parameter, Pattern, Query, ResultType, Span, walk
from streams.search.query.pattern_types import PatternType

T = TypeVar("T")

_PREDICATE = re.compile(r"([A-Za-z.]+)\(")
_PREDICATES = {Field.REPO: REPO_PREDICATES, Field.FILE: FILE_PREDICATES}


def pattern_type_of(text: str, node: Node) -> PatternType | None:
    """What ``patternType:`` says, if it stands in the query. Raises QueryError for a value not built."""
    for leaf in walk(node):
        if isinstance(leaf, Parameter) and leaf.field is Field.PATTERN_TYPE:
            return value_of(text, leaf, values.pattern_type)
    return None


def validated(text: str, node: Node, pattern_type: PatternType, notices: tuple[str, ...]) -> Query:
    """The query, or QueryError at the first fault in the order of the text."""
    leaves = [leaf for leaf in walk(node) if isinstance(leaf, Parameter | Pattern)]
    seen: dict[Field, Parameter] = {}
    for leaf in sorted(leaves, key=lambda leaf: leaf.span):
        if isinstance(leaf, Pattern):
            check_pattern(text, leaf)
        else:
            _check_parameter(text, leaf, pattern_type)
            check_repeated(text, leaf, seen)
    check_content_once(text, node)
    check_scope(text, node)
    _check_types(text, [leaf for leaf in leaves if isinstance(leaf, Parameter) and leaf.field is Field.TYPE])
    check_repositories(text, node)
    globals_ = {leaf.field: leaf for leaf in leaves if isinstance(leaf, Parameter)}

    def read(field: Field, convert: Callable[[str], T]) -> T | None:
        leaf = globals_.get(field)
        return None if leaf is None else convert(leaf.value)

    return Query(
        node=node,
        pattern_type=pattern_type,
        types=frozenset(
            values.result_type(leaf.value)
            for leaf in leaves
            if isinstance(leaf, Parameter) and leaf.field is Field.TYPE
        ),
        count=read(Field.COUNT, values.count_limit),
        timeout_s=read(Field.TIMEOUT, values.timeout_s),
        fork=read(Field.FORK, values.yes_no_only),
        archived=read(Field.ARCHIVED, values.yes_no_only),
        text=text,
        notices=notices,
    )


def check_pattern(text: str, pattern: Pattern) -> None:
    """Raises QueryError where one piece, or all of them joined, is no RE2."""
    if any(piece.is_regexp for piece in pattern.pieces):
        parted = len(pattern.pieces) > 1
        for piece in pattern.pieces:
            if piece.is_regexp:
                check_regexp(text, piece.text, pattern.span, parted=parted)
        check_regexp(text, regex.source_of(pattern.pieces), pattern.span)


def _check_parameter(text: str, leaf: Parameter, pattern_type: PatternType) -> None:
    rule = RULES[leaf.field]
    if not rule.built:
        raise QueryError(
            f"{rule.shown}: cannot be used here: {rule.refusal}",
            text=text,
            position=leaf.span.start,
            length=leaf.span.length,
        )
    if leaf.negated and not rule.negatable:
        raise QueryError(
            f"{rule.shown}: cannot be negated",
            text=text,
            position=leaf.span.start,
            length=leaf.span.length,
        )
    if not leaf.value:
        raise QueryError(
            f"{rule.shown}: needs a value", text=text, position=leaf.span.start, length=leaf.span.length
        )
    match leaf.field:
        case Field.REPO | Field.FILE:
            check_predicate(text, leaf)
            check_regexp(text, leaf.value, leaf.value_span)
        case Field.CONTENT:
            if pattern_type is PatternType.REGEXP:
                check_regexp(text, leaf.value, leaf.value_span)
        case Field.LANG:
            value_of(text, leaf, _language)
        case Field.TYPE:
            value_of(text, leaf, values.result_type)
        case Field.CASE:
            value_of(text, leaf, values.boolean)
        case Field.COUNT:
            value_of(text, leaf, values.count_limit)
        case Field.TIMEOUT:
            value_of(text, leaf, values.timeout_s)
        case Field.FORK | Field.ARCHIVED:
            value_of(text, leaf, values.yes_no_only)
        case Field.PATTERN_TYPE:
            value_of(text, leaf, values.pattern_type)
        case _:
            raise QueryError(f"{rule.shown}: is not built yet", text=text, position=leaf.span.start)


def check_predicate(text: str, leaf: Parameter) -> None:
    found = _PREDICATE.match(leaf.value)
    start = leaf.value_span.start
    if found is not None and found[1].lower() in _PREDICATES[leaf.field]:
        raise QueryError(
            f"{leaf.field}:{found[1]}(...) is not built yet",
            text=text,
            position=start,
            length=leaf.value_span.length,
        )
    revision = leaf.value.find("@") if leaf.field is Field.REPO else -1
    if revision >= 0:
        raise QueryError(
            "counting is on the default branch; revisions after @ are not built yet",
            text=text,
            position=start + revision,
            length=leaf.value_span.end - start - revision,
        )


def check_repeated(text: str, leaf: Parameter, seen: dict[Field, Parameter]) -> None:
    rule = RULES[leaf.field]
    if rule.repeatable or leaf.field in (Field.CONTENT, Field.CASE):
        return
    if leaf.field in seen:
        raise QueryError(
            f"{rule.shown}: stands twice; it may be used once",
            text=text,
            position=leaf.span.start,
            length=leaf.span.length,
        )
    seen[leaf.field] = leaf


def check_content_once(text: str, node: Node) -> None:
    """``content:`` and ``case:`` once in each conjunction, so that no second one is lost unseen."""
    for inner in walk(node):
        if not isinstance(inner, And):
            continue
        seen: set[tuple[Field, bool]] = set()
        for leaf in inner.operands:
            if not isinstance(leaf, Parameter) or leaf.field not in (Field.CONTENT, Field.CASE):
                continue
            if (leaf.field, leaf.negated) in seen and not leaf.negated:
                raise QueryError(
                    f"{leaf.field}: stands twice; it may be used once",
                    text=text,
                    position=leaf.span.start,
                    length=leaf.span.length,
                )
            seen.add((leaf.field, leaf.negated))


def check_scope(text: str, node: Node) -> None:
    for inner in walk(node):
        if not isinstance(inner, Or):
            continue
        for leaf in walk(inner):
            if isinstance(leaf, Parameter) and RULES[leaf.field].whole_query:
                raise QueryError(
                    f"{RULES[leaf.field].shown}: holds for the whole query and cannot stand in one part of an OR; "
                    "put the OR in brackets and the filter outside",
                    text=text,
                    position=leaf.span.start,
                    length=leaf.span.length,
                )


def _check_types(text: str, leaves: list[Parameter]) -> None:
    """``type:repo`` makes patterns speak of names of repositories, so nothing else can stand beside it."""
    kinds = {values.result_type(leaf.value) for leaf in leaves}
    if ResultType.REPO in kinds and len(kinds) > 1:
        leaf = next(leaf for leaf in leaves if values.result_type(leaf.value) is ResultType.REPO)
        raise QueryError(
            "type:repo cannot be combined with other types",
            text=text,
            position=leaf.span.start,
            length=leaf.span.length,
        )


def check_repositories(text: str, node: Node) -> None:
    """An OR is either all about repositories or not at all: they are chosen before anything is counted."""
    for inner in walk(node):
        if not isinstance(inner, Or):
            continue
        leaves = [leaf for leaf in walk(inner) if isinstance(leaf, Parameter | Pattern)]
        about = [isinstance(leaf, Parameter) and leaf.field is Field.REPO for leaf in leaves]
        if any(about) and not all(about):
            leaf = leaves[about.index(True)]
            raise QueryError(
                "repo: chooses the repositories of the whole query and cannot stand beside other things in one part "
                "of an OR; put the OR in brackets and repo: outside",
                text=text,
                position=leaf.span.start,
                length=leaf.span.length,
            )


def check_regexp(text: str, source: str, span: Span, *, parted: bool = False) -> None:
    problem = regex.problem(source)
    if problem is None:
        return
    inside = text.find(problem.fragment, span.start, span.end) if problem.fragment else -1
    raise QueryError(
        f"not a valid regular expression: {problem.message}"
        + (
            " (white space parts an expression; write \\s, or put it between slashes: /.../)"
            if parted
            else ""
        ),
        text=text,
        position=span.start if inside < 0 else inside,
        length=span.length if inside < 0 else len(problem.fragment),
        remedy="Patterns are RE2 syntax: no look-around, no back-references.",
    )


def _language(value: str) -> str:
    name = languages.canonical(value)
    if name is None:
        hint = values.did_you_mean(value, languages.spellings())
        raise ValueError(f"{value!r} is no known language{hint}")
    return name


def value_of(text: str, leaf: Parameter, convert: Callable[[str], T]) -> T:
    try:
        return convert(leaf.value)
    except ValueError as error:
        raise QueryError(
            f"{RULES[leaf.field].shown}: {error}",
            text=text,
            position=leaf.value_span.start,
            length=leaf.value_span.length,
        ) from None
