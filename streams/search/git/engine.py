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
        allowed = [limit for limit in (timeout_s, *(plan.timeout_s for plan in plans)) if limit is not None]
        deadline = started + min(allowed) if allowed else None
        git = Git(repository)
        instants = {instant for query in request.queries for instant in query.instants}
        frames = resolve(git, tip_of(git, branch), instants)
        tally = Tally(plans, self._limits.large_files)
        resets, bad = _walk(git, frames, tally)
        blobs = self._read(git, tally, deadline)
        sums = _Sums(tally, blobs, len(frames.commits), resets)
        return CountResult(
            cells={
                query.key: tuple(_cell(sums, frames, plans[index], index, at, bad) for at in query.instants)
                for index, query in enumerate(request.queries)
            },
            captures={},
            skipped=dict(blobs.skipped),
            files=sum(sums.files[slot] for slot in frames.slot_of.values()),
            blobs=blobs.blobs,
            size_bytes=blobs.size_bytes,
            duration_s=time.monotonic() - started,
            matcher_version=MATCHER_VERSION,
            engine="git",
        )

    def _read(self, git: Git, tally: Tally, deadline: float | None) -> BlobValues:
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
            results = [work(share) for share in busy]
        else:
            with ThreadPoolExecutor(len(busy)) as pool:
                results = list(pool.map(work, busy))
        whole = BlobValues({}, {}, set(), Counter(), 0, 0)
        for result in results:
            whole.values.update(result.values)
            whole.unknown.update(result.unknown)
            whole.too_large.update(result.too_large)
            whole.skipped.update(result.skipped)
            whole = whole._replace(
                blobs=whole.blobs + result.blobs, size_bytes=whole.size_bytes + result.size_bytes
            )
        return whole


def _plan(query: CountQuery) -> QueryPlan:
    parsed = parse(query.query, query.pattern_type)
    validate_for_insight(parsed, query.kind)
    return QueryPlan(parsed, captures=query.kind == "capture")


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


class _Sums:
    """Per query and slot: the value, and why it is incomplete."""

    def __init__(self, tally: Tally, blobs: BlobValues, slots: int, resets: frozenset[int]) -> None:
        queries = len(tally.classes[0].fixed) if tally.classes else 0
        self._resets = resets
        files = [0] * slots
        values = [[0] * slots for _ in range(queries)]
        unknown: dict[tuple[int, Reason], list[int]] = {}
        for path_class, changes in zip(tally.classes, tally.class_changes, strict=True):
            for slot, sign in changes.items():
                if not path_class.idle:
                    files[slot] += sign
                for query, fixed in enumerate(path_class.fixed):
                    values[query][slot] += sign * fixed
        for oid, found in blobs.values.items():
            is_large = oid in blobs.too_large
            for slot, class_id, sign in tally.uses[oid].changes:
                path_class = tally.classes[class_id]
                if is_large and not path_class.any_size:
                    continue
                for query, expression in path_class.contents:
                    values[query][slot] += sign * found[expression]
        for oid, reason in blobs.unknown.items():
            for slot, class_id, sign in tally.uses[oid].changes:
                for query, _ in tally.classes[class_id].contents:
                    unknown.setdefault((query, reason), [0] * slots)[slot] += sign
        self.files = self._running(files)
        self._values = [self._running(row) for row in values]
        self._unknown = {key: self._running(row) for key, row in unknown.items()}

    def value(self, query: int, slot: int) -> int:
        return self._values[query][slot] if self._values else 0

    def reason(self, query: int, slot: int) -> Reason | None:
        for (of_query, reason), row in self._unknown.items():
            if of_query == query and row[slot]:
                return reason
        return None

    def _running(self, changes: list[int]) -> list[int]:
        total = 0
        sums: list[int] = []
        for slot, change in enumerate(changes):
            total = change if slot in self._resets else total + change
            sums.append(total)
        return sums


def _cell(
    sums: _Sums, frames: Frames, plan: QueryPlan, query: int, instant: datetime, bad: frozenset[int]
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
