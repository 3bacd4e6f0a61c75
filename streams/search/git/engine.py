"""The content-addressed engine: a count depends only on (blob, expression), and frames share almost all blobs."""

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streams.search.git.blobs import BlobValues
from streams.search.git.command import Git
from streams.search.git.history import Frames, resolve
from streams.search.git.state import commit_of, describe, tip_of
from streams.search.git.sums import Sums
from streams.search.git.trees import TreeMissing
from streams.search.git.walk import SearchLimits, Walk
from streams.search.matcher import MATCHER_VERSION
from streams.search.plan import QueryPlan
from streams.search.protocol import (
    Cell,
    CountQuery,
    CountRequest,
    CountResult,
    EngineError,
    Reason,
    RepositoryState,
)
from streams.search.query import parse, validate_for_insight

__all__ = ["GitEngine", "SearchLimits"]


class _Asked(NamedTuple):
    """One query, ready to be counted; ``deadline`` is in monotonic seconds."""

    query: CountQuery
    plan: QueryPlan
    deadline: float | None


class _Cost:
    """What has been read so far."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.files = self.blobs = self.size_bytes = 0

    def add(self, shares: Iterable[BlobValues], files: int) -> None:
        self.files += files
        for share in shares:
            self.skipped += share.skipped
            self.blobs += share.blobs
            self.size_bytes += share.size_bytes


class _Counted(NamedTuple):
    """What a pass found, by key."""

    cells: dict[str, tuple[Cell, ...]]
    captures: dict[str, tuple[Mapping[str, int], ...]]
    snapshots: dict[str, Cell]
    snapshot_captures: dict[str, Mapping[str, int]]


class GitEngine:
    """Counts through the git CLI. ``readers``: git processes that inflate blobs at the same time."""

    def __init__(self, limits: SearchLimits = SearchLimits(), *, readers: int | None = None) -> None:  # noqa: B008
        self._limits = limits
        self._limits_digest = limits.digest
        self._readers = readers or max(1, min(4, os.cpu_count() or 1))

    def describe(self, repository: Path) -> RepositoryState:
        return describe(repository)

    def count(
        self, repository: Path, branch: str | None, request: CountRequest, *, timeout_s: float | None = None
    ) -> CountResult:
        """One pass over the repository. Raises QueryError, EngineError."""
        started = time.monotonic()
        if not repository.is_dir():
            raise EngineError(f"{repository} is no folder", remedy="Give the path of a git repository.")
        if any(instant.tzinfo is None for query in request.queries for instant in query.instants):
            raise EngineError("an instant without a time zone names no time", remedy="Give instants in UTC.")
        asked = [_asked(query, started, timeout_s) for query in request.queries]
        git, cost = Git(repository), _Cost()
        moved = self._moved(git, asked, cost)
        # A query that only its snapshot was wanted of, and whose snapshot is known, would be matched in vain.
        rest = [one for one in asked if one.query.instants or one.query.key not in moved]
        found = self._pass(git, branch, rest, moved, cost)
        return CountResult(
            cells={query.key: found.cells.get(query.key, ()) for query in request.queries},
            captures={
                query.key: found.captures.get(query.key, ())
                for query in request.queries
                if query.kind == "capture"
            },
            snapshots={**found.snapshots, **moved},
            snapshot_captures=found.snapshot_captures,
            skipped=dict(cost.skipped),
            files=cost.files,
            blobs=cost.blobs,
            size_bytes=cost.size_bytes,
            duration_s=time.monotonic() - started,
            matcher_version=MATCHER_VERSION,
            limits=self._limits_digest,
            engine="git",
        )

    def _pass(
        self, git: Git, branch: str | None, asked: Sequence[_Asked], moved: Mapping[str, Cell], cost: _Cost
    ) -> _Counted:
        """Frames, and the snapshots that are not known from ``moved``: whole trees, as few as possible."""
        whole = {
            one.query.key: one.query.snapshot.commit
            for one in asked
            if one.query.snapshot is not None and one.query.key not in moved
        }
        commits = list(dict.fromkeys(commit for commit in whole.values() if commit is not None))
        instants = {instant for one in asked for instant in one.query.instants}
        deadlines = [one.deadline for one in asked]
        last = _latest(deadlines)
        with Walk(git, [one.plan for one in asked], self._limits, self._readers, last) as walk:
            if commits:
                walk.begin(commits[0])
            tip = tip_of(git, branch) if instants else None
            frames = resolve(git, tip, instants, last, _nothing if commits else walk.begin)
            commits += [commit for commit in frames.commits if commit not in commits]
            walk.go_on(commits)
            shares = walk.shares()
        slots = {commit: slot for slot, commit in enumerate(commits)}
        slot_of = {instant: slots[frames.commits[at]] for instant, at in frames.slot_of.items()}
        sums = Sums(walk.tally, shares, len(commits), walk.resets, deadlines)
        looked_at = [
            *slot_of.values(),
            *(slots[commit] for commit in set(whole.values()) if commit is not None),
        ]
        cost.add(shares, sum(sums.files[slot] for slot in looked_at))

        def cell(index: int, commit: str | None) -> Cell:
            return _cell(
                sums, asked[index].plan, index, None if commit is None else slots[commit], commit, walk.bad
            )

        found = _Counted({}, {}, {}, {})
        for index, one in enumerate(asked):
            key = one.query.key
            found.cells[key] = tuple(
                cell(index, commits[slot_of[at]]) if at in slot_of else _before(frames)
                for at in one.query.instants
            )
            if key in whole:
                found.snapshots[key] = cell(index, whole[key])
            if one.query.kind == "capture":
                found.captures[key] = tuple(
                    sums.captures(index, slot_of.get(at)) for at in one.query.instants
                )
                if key in whole:
                    commit = whole[key]
                    found.snapshot_captures[key] = sums.captures(
                        index, None if commit is None else slots[commit]
                    )
        return found

    def _moved(self, git: Git, asked: Sequence[_Asked], cost: _Cost) -> dict[str, Cell]:
        """Snapshots that follow from a known count and the difference of two trees, by key."""
        together: dict[tuple[str, str], list[_Asked]] = {}
        bases: dict[str, int] = {}
        for one in asked:
            snapshot = one.query.snapshot
            if snapshot is None or one.query.kind == "capture" or one.plan.per_repository:
                continue
            if snapshot.commit is None or snapshot.base_commit is None or snapshot.base_value is None:
                continue
            if snapshot.base_limits != self._limits_digest:
                continue  # a file that was searched then, and is not now, would be subtracted or kept for ever
            bases[one.query.key] = snapshot.base_value
            together.setdefault((snapshot.base_commit, snapshot.commit), []).append(one)
        found: dict[str, Cell] = {}
        for (base, commit), queries in together.items():
            for one, change in self._changes(git, base, commit, queries, cost):
                value = bases[one.query.key] + change
                if value >= 0:  # else the base was counted by other rules
                    found[one.query.key] = _limited(one.plan, value, commit)
        return found

    def _changes(
        self, git: Git, base: str, commit: str, asked: Sequence[_Asked], cost: _Cost
    ) -> list[tuple[_Asked, int]]:
        """By how much each query counts more at ``commit`` than at ``base``; only those of which it is certain."""
        if base != commit and not (commit_of(git, base) and commit_of(git, commit)):
            return []
        deadlines = [one.deadline for one in asked]
        with Walk(git, [one.plan for one in asked], self._limits, self._readers, _latest(deadlines)) as walk:
            try:
                files = walk.difference(base, commit)
            except TreeMissing:
                return []
            shares = walk.shares()
        cost.add(shares, files)
        if any(share.unknown for share in shares):
            return []  # the whole tree may not need that blob, and else says how much is missing
        sums = Sums(walk.tally, shares, 2, (), deadlines)
        return [
            (one, sums.value(index, 1))
            for index, one in enumerate(asked)
            if one.deadline is None or not any(share.unread_at(one.deadline) for share in shares)
        ]


def _asked(query: CountQuery, started: float, timeout_s: float | None) -> _Asked:
    parsed = parse(query.query, query.pattern_type)
    validate_for_insight(parsed, query.kind)
    plan = QueryPlan(parsed, captures=query.kind == "capture")
    given = [limit_s for limit_s in (timeout_s, plan.timeout_s) if limit_s is not None]
    return _Asked(query, plan, started + min(given) if given else None)


def _latest(deadlines: Sequence[float | None]) -> float | None:
    """When the last query's time is over; None when one has no limit."""
    given = [deadline for deadline in deadlines if deadline is not None]
    return max(given) if given and len(given) == len(deadlines) else None


def _nothing(_: str) -> None:
    """The first tree is being read already."""


def _before(frames: Frames) -> Cell:
    """Of a frame without a commit."""
    return Cell(value=0, complete=frames.unresolved is None, reason=frames.unresolved)


def _cell(
    sums: Sums, plan: QueryPlan, query: int, slot: int | None, commit: str | None, bad: Collection[int]
) -> Cell:
    if slot is None:
        return Cell(value=0)
    if plan.per_repository:
        return _limited(plan, 1, commit)
    if slot in bad:
        return _limited(plan, 0, commit, "missing-object")
    return _limited(plan, sums.value(query, slot), commit, sums.reason(query, slot))


def _limited(plan: QueryPlan, value: int, commit: str | None, reason: Reason | None = None) -> Cell:
    """With the query's own ``count:`` applied."""
    if plan.limit is not None and value > plan.limit:
        value, reason = plan.limit, "limit-hit"
    return Cell(value=value, complete=reason is None, reason=reason, commit=commit)
