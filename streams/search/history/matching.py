"""Which commits a query finds, and where: one plan per query, asked of commits that are read once for all. Pure.

AND, OR and NOT are per changed file, as they are per file elsewhere; with ``type:commit`` they are about the message. A pattern
matches within one changed line.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import msgspec

from streams.search import regex
from streams.search.expressions import (
    ALWAYS,
    NEVER,
    AllOf,
    AnyOf,
    Constant,
    Expression,
    NoneOf,
    Term,
    all_of,
    any_of,
    term_of,
    term_of_text,
)
from streams.search.history.commits import Commit, FileDiff
from streams.search.history.compact import Compact, compact_file
from streams.search.matcher import Range, Text, compiled, merged, searchable_text
from streams.search.query.fields import Field
from streams.search.query.history import HistoryQuery, HistoryType, Side
from streams.search.query.nodes import And, Node, Or, Parameter, Pattern, walk
from streams.search.query.pattern_types import PatternType
from streams.search.query.values import boolean

MAX_TEXT_CHARACTERS: Final = 200_000
"""Of one result: files beyond it are counted, not shown."""
_SIDES: Final = {None: b"+-", Side.ADDED: b"+", Side.REMOVED: b"-"}


class CommitMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that a query finds. ``text`` is its compact diff or its message, ``ranges`` are offsets into it in code points.

    ``matches`` counts all; ranges of files that did not fit into the text are left out.
    """

    commit: str
    committed_at_s: int
    is_diff: bool
    text: str
    ranges: list[tuple[int, int]]
    paths: list[str]
    matches: int


class Changed:
    """The changed lines of one file, on one side or both: joined, and where each stands in its hunk."""

    def __init__(self, file: FileDiff, sides: bytes) -> None:
        self.places: list[tuple[int, int]] = []
        """(hunk, line) of each."""
        lines: list[bytes] = []
        for number, hunk in enumerate(file.hunks):
            for at, line in enumerate(hunk.lines):
                if line[0] in sides:
                    self.places.append((number, at))
                    lines.append(searchable_text(line[1:]))
        self.text = Text(b"\n".join(lines)) if lines else Text(b"")

    @cached_property
    def starts(self) -> list[int]:
        """Where each line begins in the text."""
        found, at = [], 0
        for line in self.text.utf8.split(b"\n"):
            found.append(at)
            at += len(line) + 1
        return found


class Seen:
    """One commit as all plans see it: what is cut out of it is cut once."""

    def __init__(self, commit: Commit) -> None:
        self.commit = commit
        self._changed: dict[bytes, list[Changed]] = {}
        self._whole: dict[bytes, Text] = {}

    def changed(self, sides: bytes) -> list[Changed]:
        """One per file of the commit."""
        if sides not in self._changed:
            self._changed[sides] = [Changed(file, sides) for file in self.commit.files]
        return self._changed[sides]

    def whole(self, sides: bytes) -> Text:
        """All changed lines of the commit."""
        if sides not in self._whole:
            self._whole[sides] = Text(b"\n".join(one.text.utf8 for one in self.changed(sides)))
        return self._whole[sides]

    @cached_property
    def message(self) -> Text:
        return Text(self.commit.message)

    @cached_property
    def author(self) -> bytes:
        return searchable_text(self.commit.author)

    @cached_property
    def paths(self) -> list[bytes]:
        return [searchable_text(file.path) for file in self.commit.files]


Test = Callable[[Seen, int | None], bool]
"""Of a commit and, of the one changed file that is looked at, its place; None: of all of them."""


class _If(msgspec.Struct, frozen=True):
    test: Test
    is_about_files: bool = False


class _Branch(msgspec.Struct, frozen=True):
    operands: "tuple[_Step, ...]"
    is_or: bool


_Step = _If | _Branch | Term | NoneOf


class HistoryPlan:
    """One query, ready to be asked of commits. ``needs_diff``: whether their files have to be known."""

    def __init__(self, query: HistoryQuery) -> None:
        self._sides = _SIDES[query.side]
        self._is_diff = query.type is HistoryType.DIFF
        self._is_regexp = query.query.pattern_type is PatternType.REGEXP
        self._step = self._lower(query.query.node, case_sensitive=False)
        self._required = tuple(compiled(term) for term in _required(self._step))
        self.needs_diff = self._is_diff or any(
            isinstance(leaf, Parameter) and leaf.field is Field.FILE for leaf in walk(query.query.node)
        )

    def match(self, seen: Seen) -> CommitMatch | None:
        """What the query finds in the commit."""
        # Most commits hold nothing for most queries: that is seen first, and once for all files.
        text = seen.whole(self._sides) if self._is_diff else seen.message
        for term in self._required:
            if not term.may_match(text):
                return None
        return self._diff(seen) if self._is_diff else self._message(seen)

    def _message(self, seen: Seen) -> CommitMatch | None:
        expression = _specialised(self._step, seen, None)
        if expression == NEVER or not _may_match(expression, seen.message):
            return None
        satisfied, ranges = _ranges(expression, seen.message.utf8, within_lines=False)
        if not satisfied:
            return None
        text = seen.message.utf8
        kept = merged(ranges)
        return CommitMatch(
            commit=seen.commit.id,
            committed_at_s=seen.commit.committed_at_s,
            is_diff=False,
            text=_shown(text),
            ranges=[(_points(text[: one.start]), _points(text[: one.end])) for one in kept],
            paths=[],
            matches=len(kept) or 1,
        )

    def _diff(self, seen: Seen) -> CommitMatch | None:
        if not seen.commit.files:
            return None
        general = _specialised(self._step, seen, None, files_open=True)
        if general == NEVER or not _may_match(general, seen.whole(self._sides)):
            return None
        text = Compact(MAX_TEXT_CHARACTERS)
        matches, paths = 0, []
        for place, changed in enumerate(seen.changed(self._sides)):
            expression = _specialised(self._step, seen, place)
            if expression == NEVER or not _may_match(expression, changed.text):
                continue
            satisfied, ranges = _ranges(expression, changed.text.utf8, within_lines=True)
            if not satisfied:
                continue
            file = seen.commit.files[place]
            kept = merged(ranges)
            matches += len(kept) or 1
            paths.append(_shown(seen.paths[place]))
            text.add(compact_file(file, list(_in_lines(changed, kept))))
        if not paths:
            return None
        return CommitMatch(
            commit=seen.commit.id,
            committed_at_s=seen.commit.committed_at_s,
            is_diff=True,
            text=text.text,
            ranges=text.ranges,
            paths=paths,
            matches=matches,
        )

    def _lower(self, node: Node, *, case_sensitive: bool) -> _Step | None:
        match node:
            case Pattern():
                term = term_of(node, case_sensitive=case_sensitive, captures=False)
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
        if leaf.field is Field.CONTENT:
            term = term_of_text(
                leaf.value, is_regexp=self._is_regexp, case_sensitive=case_sensitive, captures=False
            )
            return NoneOf(term) if leaf.negated else term
        if leaf.field not in (Field.FILE, Field.AUTHOR, Field.MESSAGE):
            return None  # chooses repositories, or holds for the whole query
        match_at = regex.matcher(leaf.value, case_sensitive=case_sensitive)

        def holds(text: bytes) -> bool:
            return match_at(regex.UNANCHORED, text, 0, len(text))[0][0] >= 0

        match leaf.field:
            case Field.AUTHOR:
                return _If(lambda seen, _: holds(seen.author) is not leaf.negated)
            case Field.MESSAGE:
                return _If(lambda seen, _: holds(seen.message.utf8) is not leaf.negated)
            case _:
                return _If(
                    lambda seen, place: (
                        any(map(holds, seen.paths if place is None else [seen.paths[place]]))
                        is not leaf.negated
                    ),
                    is_about_files=True,
                )


_plans: OrderedDict[tuple[str, PatternType], HistoryPlan] = OrderedDict()
_KEPT_PLANS: Final = 2_048


def plan_of(query: HistoryQuery) -> HistoryPlan:
    """The plan of a query, kept for the next push: making one takes longer than asking it. Threads may share them."""
    key = query.text, query.query.pattern_type
    found = _plans.get(key)
    if found is None:
        found = _plans[key] = HistoryPlan(query)
        while len(_plans) > _KEPT_PLANS:
            _plans.popitem(last=False)
    return found


def _required(step: _Step | None) -> Iterator[Term]:
    """Terms without which nothing is found."""
    if isinstance(step, Term):
        yield step
    elif isinstance(step, _Branch) and not step.is_or:
        for part in step.operands:
            yield from _required(part)


def _specialised(
    step: _Step | None, seen: Seen, place: int | None, *, files_open: bool = False
) -> Expression:
    """What is left to ask of the text. ``files_open``: a condition on files may hold for some file, so it stays open."""
    match step:
        case None:
            return ALWAYS
        case Term() | NoneOf():
            return ALWAYS if files_open and isinstance(step, NoneOf) else step
        case _If():
            is_open = files_open and step.is_about_files
            return ALWAYS if is_open or step.test(seen, place) else NEVER
        case _Branch():
            operands = [_specialised(part, seen, place, files_open=files_open) for part in step.operands]
            return any_of(operands) if step.is_or else all_of(operands)


def _may_match(expression: Expression, text: Text) -> bool:
    """Whether it can hold for some part of ``text``: cheap, and never wrong when it says no."""
    match expression:
        case Term():
            return compiled(expression).may_match(text)
        case NoneOf():
            return True
        case Constant():
            return expression.value
        case AllOf():
            return all(_may_match(one, text) for one in expression.operands)
        case AnyOf():
            return any(_may_match(one, text) for one in expression.operands)


def _ranges(expression: Expression, text: bytes, *, within_lines: bool) -> tuple[bool, tuple[Range, ...]]:
    match expression:
        case Term():
            found = compiled(expression).ranges(text)
            if within_lines:
                found = tuple(_within_lines(expression, found, text))
            return bool(found), found
        case NoneOf():
            return not _ranges(expression.term, text, within_lines=within_lines)[0], ()
        case Constant():
            return expression.value, ()
        case AllOf() | AnyOf():
            parts = [_ranges(one, text, within_lines=within_lines) for one in expression.operands]
            holds = (all if isinstance(expression, AllOf) else any)(part[0] for part in parts)
            return holds, tuple(one for part in parts if part[0] for one in part[1]) if holds else ()


def _within_lines(term: Term, found: tuple[Range, ...], text: bytes) -> Iterator[Range]:
    """Occurrences of lines that stand apart: one that crosses a line's end is looked for again in each of its lines."""
    if not any(text.find(b"\n", one.start, one.end) >= 0 for one in found):
        yield from found
        return
    at = 0
    for line in text.split(b"\n"):
        for one in compiled(term).ranges(line):
            yield Range(at + one.start, at + one.end)
        at += len(line) + 1


def _in_lines(changed: Changed, ranges: list[Range]) -> Iterator[tuple[int, int, int, int]]:
    """(hunk, line, first, end) of each range: offsets into the line behind its sign, in bytes of its searchable text."""
    starts, at = changed.starts, 0
    for one in ranges:
        while at + 1 < len(starts) and starts[at + 1] <= one.start:
            at += 1
        hunk, line = changed.places[at]
        yield hunk, line, one.start - starts[at], one.end - starts[at]


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _points(text: bytes) -> int:
    return len(text.decode("utf-8", "replace"))
