"""The content-addressed engine: a count depends only on (blob, expression), and frames share almost all blobs."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from streams.search.git.blobs import BlobReader, BlobRequest, BlobValues
from streams.search.git.command import Git
from streams.search.git.history import Frames, resolve
from streams.search.git.state import describe, tip_of
from streams.search.git.sums import Sums
from streams.search.git.tally import Tally
from streams.search.git.trees import TreeMissing, entries
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
        frames = resolve(git, tip_of(git, branch), instants, last)
        tally = Tally(plans, self._limits.large_files)
        resets, bad = _walk(git, frames, tally)
        shares = self._read(git, tally, last)
        sums = Sums(tally, shares, len(frames.commits), resets, deadlines)
        return CountResult(
            cells={
                query.key: tuple(_cell(sums, frames, plans[index], index, at, bad) for at in query.instants)
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

    def _read(self, git: Git, tally: Tally, deadline: float | None) -> list[BlobValues]:
        requests = tally.requests()
        shares: list[list[BlobRequest]] = [[] for _ in range(self._readers)]
        for request in requests:
            shares[crc32(request.oid) % self._readers].append(request)

        def work(share: Sequence[BlobRequest]) -> BlobValues:
            reader = BlobReader(
                git, tally.expressions, max_size_bytes=self._limits.max_file_size_bytes, deadline=deadline
            )
            return reader.read(share)

        busy = [share for share in shares if share]
        if len(busy) <= 1:
            return [work(share) for share in busy]
        with ThreadPoolExecutor(len(busy)) as pool:
            return list(pool.map(work, busy))


def _plan(query: CountQuery) -> QueryPlan:
    parsed = parse(query.query, query.pattern_type)
    validate_for_insight(parsed, query.kind)
    return QueryPlan(parsed, captures=query.kind == "capture")


def _deadline(started: float, *timeouts_s: float | None) -> float | None:
    given = [timeout_s for timeout_s in timeouts_s if timeout_s is not None]
    return started + min(given) if given else None


def _walk(git: Git, frames: Frames, tally: Tally) -> tuple[frozenset[int], frozenset[int]]:
    """Feed the tally. -> (slots at which counting began anew, slots whose tree is not all there)."""
    resets: set[int] = set()
    bad: set[int] = set()
    first = 0
    while first < len(frames.commits):
        resets.add(first)
        base = first
        try:
            tally.add(
                entry._replace(slot=entry.slot + base) if base else entry
                for entry in entries(git, frames.commits[base:])
            )
            break
        except TreeMissing as missing:
            bad.add(base + missing.slot)
            resets.add(base + missing.slot)
            first = base + missing.slot + 1
    return frozenset(resets), frozenset(bad)


def _cell(
    sums: Sums, frames: Frames, plan: QueryPlan, query: int, instant: datetime, bad: frozenset[int]
) -> Cell:
    slot = frames.slot_of.get(instant)
    if slot is None:
        return Cell(value=0, complete=frames.unresolved is None, reason=frames.unresolved)
    commit = frames.commits[slot]
    value = 1 if plan.per_repository else sums.value(query, slot)
    reason: Reason | None = None
    if not plan.per_repository:
        reason = "missing-object" if slot in bad else sums.reason(query, slot)
    if plan.limit is not None and value > plan.limit:
        value, reason = plan.limit, "limit-hit"
    return Cell(value=value, complete=reason is None, reason=reason, commit=commit)
