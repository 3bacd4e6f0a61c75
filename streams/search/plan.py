"""From a query to what is asked of each file: path filters are decided at the tree entry, the rest on contents."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from streams.search import languages
from streams.search.expressions import (
    ALWAYS,
    NEVER,
    Expression,
    NoneOf,
    Term,
    all_of,
    any_of,
    term_of,
    term_of_text,
    terms_of,
)
from streams.search.matcher import file_value, searchable_text
from streams.search.query.fields import Field
from streams.search.query.nodes import And, Node, Or, Parameter, Pattern, Query, ResultType, walk
from streams.search.query.pattern_types import PatternType
from streams.search.query.values import boolean
from streams.search.regex import TextRegex

PathTest = Callable[[bytes], bool]


class FileRule(NamedTuple):
    """What one query asks of one path: ``fixed`` is counted without reading, ``content`` is matched (None: nothing)."""

    fixed: int
    content: Expression | None


@dataclass(frozen=True, slots=True)
class _OnPath:
    test: PathTest


@dataclass(frozen=True, slots=True)
class _Branch:
    operands: tuple["_Step", ...]
    is_or: bool


_Step = _OnPath | _Branch | Term | NoneOf


class QueryPlan:
    """One query, ready to be asked of paths.

    ``per_repository``: the value is 1 wherever there is a commit. ``reads_paths``: whether answers depend on the path.
    """

    def __init__(self, query: Query, *, captures: bool = False) -> None:
        self.limit = query.count
        self.timeout_s = query.timeout_s
        self.captures = captures
        self._types = query.types or frozenset({ResultType.FILE})
        leaves = [leaf for leaf in walk(query.node) if isinstance(leaf, Pattern | Parameter)]
        has_pattern = any(isinstance(leaf, Pattern) or leaf.field is Field.CONTENT for leaf in leaves)
        filters_paths = any(
            isinstance(leaf, Parameter) and leaf.field in (Field.FILE, Field.LANG) for leaf in leaves
        )
        self.per_repository = self._types == {ResultType.REPO} or not (has_pattern or filters_paths)
        self.reads_paths = filters_paths or ResultType.PATH in self._types
        self._is_regexp = query.pattern_type is PatternType.REGEXP
        self._step = self._lower(query.node, case_sensitive=False)

    def on_path(self, path: bytes) -> FileRule:
        """What to do with a regular file at ``path``."""
        if self.per_repository:
            return FileRule(0, None)
        expression = _specialised(self._step, path)
        fixed = 0
        content: Expression | None = None
        if ResultType.PATH in self._types:
            text = searchable_text(path)
            fixed += file_value(expression, text) > 0
        if ResultType.FILE in self._types and expression != NEVER:
            if terms_of(expression):
                content = expression
            else:
                fixed += 1
        return FileRule(fixed, content)

    def _lower(self, node: Node, *, case_sensitive: bool) -> _Step | None:
        match node:
            case Pattern():
                term = term_of(node, case_sensitive=case_sensitive, captures=self.captures)
                return NoneOf(term) if node.negated else term
            case Parameter():
                return self._parameter(node, case_sensitive=case_sensitive)
            case And():
                for part in node.operands:
                    if isinstance(part, Parameter) and part.field is Field.CASE:
                        case_sensitive = boolean(part.value)
                return self._branch(node.operands, is_or=False, case_sensitive=case_sensitive)
            case Or():
                return self._branch(node.operands, is_or=True, case_sensitive=case_sensitive)

    def _branch(self, nodes: tuple[Node, ...], *, is_or: bool, case_sensitive: bool) -> _Step | None:
        steps = [self._lower(node, case_sensitive=case_sensitive) for node in nodes]
        kept = tuple(step for step in steps if step is not None)
        return _Branch(kept, is_or) if kept else None

    def _parameter(self, leaf: Parameter, *, case_sensitive: bool) -> _Step | None:
        match leaf.field:
            case Field.CONTENT:
                term = term_of_text(
                    leaf.value,
                    is_regexp=self._is_regexp,
                    case_sensitive=case_sensitive,
                    captures=self.captures,
                )
                return NoneOf(term) if leaf.negated else term
            case Field.FILE:
                path_regex = TextRegex(leaf.value, case_sensitive=case_sensitive)
                return _OnPath(lambda path: path_regex.matches(searchable_text(path)) is not leaf.negated)
            case Field.LANG:
                name = languages.canonical(leaf.value)
                return _OnPath(lambda path: (name in languages.languages_of(path)) is not leaf.negated)
            case _:
                return None  # chooses repositories or holds for the whole query


def _specialised(step: _Step | None, path: bytes) -> Expression:
    match step:
        case None:
            return ALWAYS
        case Term() | NoneOf():
            return step
        case _OnPath():
            return ALWAYS if step.test(path) else NEVER
        case _Branch():
            operands = [_specialised(part, path) for part in step.operands]
            return any_of(operands) if step.is_or else all_of(operands)
