"""Which runs a push begins, and how events carry them. Pure.

A monitor begins at the present, and so does a repository that starts to match: what was pushed before is past. Where it searches the default branch, the present is
the tip before the first push that came after; where it names revisions, it is what the first run finds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from schemas.events import FiredRun
from streams.search.query import (
    HistoryQuery,
    Query,
    QueryError,
    RepositoryFilter,
    parse_history,
    repository_filter,
)
from streams.search.query.fields import Field
from streams.search.query.nodes import And, Parameter, walk

PER_EVENT: Final = 500
T = TypeVar("T")


class Watcher(msgspec.Struct, frozen=True):
    """A monitor that looks."""

    id: int
    query: str
    begun: int
    begun_at: datetime


class Phase(msgspec.Struct, frozen=True):
    """How a repository was known from ``offset`` of its partition on, until the next phase. ``name`` None: not followed."""

    offset: int
    at: datetime
    name: str | None
    fork: bool = False
    archived: bool = False


class Place(msgspec.Struct, frozen=True):
    """A followed repository and its phases, the newest last."""

    id: int
    phases: tuple[Phase, ...]


class Move(msgspec.Struct, frozen=True):
    """A push. ``is_first``: it says that the clone is ready, so nothing in it is new."""

    at: datetime
    tip: str | None
    previous_tip: str | None
    is_first: bool


class Standing(msgspec.Struct, frozen=True):
    """What was searched since the match began (``since``): its tips, and the newest push that is covered (None: no
    outcome yet)."""

    tips: frozenset[str]
    offset: int | None
    since: int = 0


Scopes = dict[str, Phase | None]
"""Since when one repository matches, by scope: monitors share it, and a look at many asks once."""


class Parsed(msgspec.Struct, frozen=True):
    """A query that can be run. ``scope`` is equal for queries that choose the same repositories, where that is easily seen."""

    query: HistoryQuery
    repositories: RepositoryFilter
    scope: str

    def matches(self, phase: Phase) -> bool:
        return phase.name is not None and self.repositories.matches(phase.name, phase.fork, phase.archived)

    def since(self, place: Place, known: Scopes | None = None) -> Phase | None:
        """The phase with which the repository began to match, the last time; None where it does not match.

        ``known`` is what was found for this place already, and is added to.
        """
        if known is None:
            return self._since(place)
        if self.scope not in known:
            known[self.scope] = self._since(place)
        return known[self.scope]

    def _since(self, place: Place) -> Phase | None:
        found: Phase | None = None
        for phase in reversed(place.phases):
            if not self.matches(phase):
                break
            found = phase
        return found


@lru_cache(maxsize=4_096)
def parsed(text: str) -> Parsed | None:
    """None where it cannot be run: somebody published it past the edge."""
    try:
        query = parse_history(text)
    except QueryError:
        return None
    return Parsed(query, repository_filter(query.query), _scope(query.query))


def _scope(query: Query) -> str:
    operands = query.node.operands if isinstance(query.node, And) else (query.node,)
    chosen = [one for one in operands if isinstance(one, Parameter) and one.field is Field.REPO]
    everywhere = [one for one in walk(query.node) if isinstance(one, Parameter) and one.field is Field.REPO]
    if len(chosen) != len(everywhere):
        return query.text
    return repr((sorted((one.value, one.negated) for one in chosen), query.fork, query.archived))


def run_of(watcher: Watcher, place: Place, move: Move, known: Scopes | None = None) -> FiredRun | None:
    """The run that the push begins, None when it begins none."""
    found = parsed(watcher.query)
    since = None if found is None else found.since(place, known)
    if found is None or since is None or move.at <= watcher.begun_at or move.at < since.at:
        return None
    run = FiredRun(monitor_id=watcher.id, begun=watcher.begun, since=since.offset)
    if found.query.revisions:
        return run
    if move.is_first or move.tip == move.previous_tip:
        return None
    return msgspec.structs.replace(run, base=_tips(move.previous_tip))


def catching_up(
    watcher: Watcher,
    place: Place,
    move: Move,
    pushed_offset: int,
    standing: Standing | None,
    known: Scopes | None = None,
) -> FiredRun | None:
    """The run that is due though the push, at ``pushed_offset``, is on the log for a while: its own one did not come, or failed."""
    found = parsed(watcher.query)
    since = None if found is None else found.since(place, known)
    if found is None or since is None:
        return None
    if standing is None or standing.since != since.offset:
        return run_of(watcher, place, move, known)
    if standing.offset is not None and standing.offset >= pushed_offset:
        return None
    if not found.query.revisions and move.tip is not None and move.tip in standing.tips:
        return None
    return FiredRun(monitor_id=watcher.id, begun=watcher.begun, since=since.offset)


def _tips(tip: str | None) -> list[str]:
    return [] if tip is None else [tip]


def by_partition(
    ones: Iterable[T],
    monitor_of: Callable[[T], int],
    partition_of: Callable[[int], int],
    size: int = PER_EVENT,
) -> Iterator[Sequence[T]]:
    """Those of one partition together, so that they may share an event; at most ``size`` in each."""
    found: dict[int, list[T]] = defaultdict(list)
    for one in ones:
        found[partition_of(monitor_of(one))].append(one)
    for _, together in sorted(found.items()):
        for start in range(0, len(together), size):
            yield together[start : start + size]
