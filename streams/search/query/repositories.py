"""Which repositories a query is about: pure, for planning and for reading alike."""

from dataclasses import dataclass

from streams.search.query.fields import Field
from streams.search.query.nodes import (
    And,
    Node,
    Or,
    Parameter,
    Pattern,
    Query,
    RepositoryType,
    ResultType,
    YesNoOnly,
)
from streams.search.regex import TextRegex, source_of


@dataclass(frozen=True, slots=True)
class _Name:
    regex: TextRegex
    negated: bool

    def holds(self, name: bytes) -> bool:
        return self.regex.matches(name) is not self.negated


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple["_Condition", ...]

    def holds(self, name: bytes) -> bool:
        return all(part.holds(name) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple["_Condition", ...]

    def holds(self, name: bytes) -> bool:
        return any(part.holds(name) for part in self.parts)


_Condition = _Name | _All | _Any


@dataclass(frozen=True, slots=True)
class RepositoryFilter:
    """``fork`` and ``archived`` as the query says, else the default of the kind of series (DESIGN 8, rule 11)."""

    fork: YesNoOnly
    archived: YesNoOnly
    names: _All

    def matches(self, name: str, fork: bool, archived: bool) -> bool:
        """Whether the repository of this canonical name belongs to the query."""
        return (
            _admits(self.fork, fork) and _admits(self.archived, archived) and self.names.holds(name.encode())
        )


def repository_filter(
    query: Query, repository_type: RepositoryType | str = RepositoryType.ALL
) -> RepositoryFilter:
    """The filter. ``repository_type``: over all repositories fork and archived default to no, over an explicit
    list to yes."""
    explicit = RepositoryType(repository_type) is RepositoryType.EXPLICIT
    default = YesNoOnly.YES if explicit else YesNoOnly.NO
    condition = _condition(query.node, types_only_repo=query.types == {ResultType.REPO})
    return RepositoryFilter(
        fork=query.fork or default,
        archived=query.archived or default,
        names=_All(() if condition is None else (condition,)),
    )


def _admits(wanted: YesNoOnly, value: bool) -> bool:
    return wanted is YesNoOnly.YES or value is (wanted is YesNoOnly.ONLY)


def _condition(node: Node, *, types_only_repo: bool) -> _Condition | None:
    match node:
        case Parameter():
            return _Name(TextRegex(node.value), node.negated) if node.field is Field.REPO else None
        case Pattern():
            # With type:repo alone the pattern is about names of repositories.
            return _Name(TextRegex(source_of(node.pieces)), node.negated) if types_only_repo else None
        case And():
            conditions = [_condition(part, types_only_repo=types_only_repo) for part in node.operands]
            return _All(tuple(part for part in conditions if part is not None))
        case Or():
            conditions = [_condition(part, types_only_repo=types_only_repo) for part in node.operands]
            kept = tuple(part for part in conditions if part is not None)
            return _Any(kept) if kept else None
