"""The content-addressed engine: a count depends only on (blob, expression), and frames share almost all blobs."""

import os
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from streams.search.git.blobs import BlobReader, BlobValues
from streams.search.git.command import Git
from streams.search.git.history import Frames, resolve
from streams.search.git.state import describe, tip_of
from streams.search.git.sums import Sums
from streams.search.git.tally import Tally
from streams.search.git.trees import TreeMissing, differences, listing
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

DEFAULT_MAX_FILE_SIZE_BYTES = 2 << 20


class SearchLimits(NamedTuple):
    """``large_files``: RE2 on paths that are searched whatever their size."""

    max_file_size_bytes: int = DEFAULT_MAX_FILE_SIZE_BYTES
    large_files: tuple[str, ...] = ()


class GitEngine:
    """Counts through the git CLI. ``readers``: git processes that inflate blobs at the same time."""

    def __init__(self, limits: SearchLimits = SearchLimits(), *, readers: int | None = None) -> None:  # noqa: B008
        self._limits = limits
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
        plans = [_plan(query) for query in request.queries]
        deadlines = [_deadline(started, timeout_s, plan.timeout_s) for plan in plans]
        last = None if None in deadlines else max(filter(None, deadlines), default=None)
        git = Git(repository)
        instants = {instant for query in request.queries for instant in query.instants}
        if any(instant.tzinfo is None for instant in instants):
            raise EngineError("an instant without a time zone names no time", remedy="Give instants in UTC.")
        with _Pass(git, plans, self._limits, self._readers, last) as work:
            frames = resolve(git, tip_of(git, branch), instants, last, work.begin)
            work.go_on(frames)
            shares = work.shares()
        sums = Sums(work.tally, shares, len(frames.commits), work.resets, deadlines)
        return CountResult(
            cells={
                query.key: tuple(
                    _cell(sums, frames, plans[index], index, at, work.bad) for at in query.instants
                )
                for index, query in enumerate(request.queries)
            },
            captures={
                query.key: tuple(sums.captures(index, frames.slot_of.get(at)) for at in query.instants)
                for index, query in enumerate(request.queries)
                if query.kind == "capture"
            },
            skipped=dict(sum((share.skipped for share in shares), Counter[str]())),
            files=sum(sums.files[slot] for slot in frames.slot_of.values()),
            blobs=sum(share.blobs for share in shares),
            size_bytes=sum(share.size_bytes for share in shares),
            duration_s=time.monotonic() - started,
            matcher_version=MATCHER_VERSION,
            engine="git",
        )


def _plan(query: CountQuery) -> QueryPlan:
    parsed = parse(query.query, query.pattern_type)
    validate_for_insight(parsed, query.kind)
    return QueryPlan(parsed, captures=query.kind == "capture")


def _deadline(started: float, *timeouts_s: float | None) -> float | None:
    given = [timeout_s for timeout_s in timeouts_s if timeout_s is not None]
    return started + min(given) if given else None


class _Pass:
    """Walks trees in this thread while others read blobs: the newest tree's as soon as its commit is known.

    ``resets``: slots at which the sums begin anew. ``bad``: slots whose tree is not all there.
    """

    def __init__(
        self, git: Git, plans: list[QueryPlan], limits: SearchLimits, readers: int, deadline: float | None
    ) -> None:
        self._git = git
        self._limits = limits
        self._readers = readers
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(readers)
        self._reading: list[Future[BlobValues]] = []
        self.tally = Tally(plans, limits.large_files)
        self.resets: set[int] = set()
        self.bad: set[int] = set()

    def __enter__(self) -> "_Pass":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, commit: str) -> None:
        """Take in the newest tree."""
        self._list(commit, 0)
        # Whether a path is exempt from the limit of size can decide a blob's reading only when all paths are known.
        if not self._limits.large_files:
            self._read()

    def go_on(self, frames: Frames) -> None:
        """Take in all other trees; a tree that is not all there costs its own frames only."""
        commits = frames.commits
        base = 0
        while base < len(commits):
            if base not in self.resets:
                self._list(commits[base], base)
            if base in self.bad:
                base += 1
                continue
            try:
                self.tally.add(differences(self._git, commits[base:]), base)
                break
            except TreeMissing as missing:
                base += missing.slot
                # That tree may be whole where only the way to it is not.
        self._read()

    def shares(self) -> list[BlobValues]:
        """Wait for all that is being read."""
        return [reading.result() for reading in self._reading]

    def _list(self, commit: str, slot: int) -> None:
        self.resets.add(slot)
        try:
            self.tally.add(listing(self._git, commit), slot)
        except TreeMissing:
            self.bad.add(slot)

    def _read(self) -> None:
        for share in self.tally.take_requests(self._readers):
            reader = BlobReader(
                self._git,
                self.tally.expressions,
                max_size_bytes=self._limits.max_file_size_bytes,
                deadline=self._deadline,
            )
            self._reading.append(self._pool.submit(reader.read, share))


def _cell(
    sums: Sums, frames: Frames, plan: QueryPlan, query: int, instant: datetime, bad: Collection[int]
) -> Cell:
    slot = frames.slot_of.get(instant)
    if slot is None:
        return Cell(value=0, complete=frames.unresolved is None, reason=frames.unresolved)
    commit = frames.commits[slot]
    value = 1 if plan.per_repository else 0 if slot in bad else sums.value(query, slot)
    reason: Reason | None = None
    if not plan.per_repository:
        reason = "missing-object" if slot in bad else sums.reason(query, slot)
    if plan.limit is not None and value > plan.limit:
        value, reason = plan.limit, "limit-hit"
    return Cell(value=value, complete=reason is None, reason=reason, commit=commit)
