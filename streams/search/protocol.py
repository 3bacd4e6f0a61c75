"""The protocol of engines: count these queries in this repository at these instants."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from schemas.errors import MillstreamError

Kind = Literal["search", "capture"]
Reason = Literal["shallow", "missing-object", "timeout", "limit-hit"]


class EngineError(MillstreamError):
    """The repository cannot be read at all."""


class SnapshotPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state of a repository: ``commit`` (None: there is none yet).

    ``base_value`` is the complete count at ``base_commit``, by the same matcher: the difference of the trees is
    then enough. Where it is not (the base is gone, a blob is missing, ``base_limits`` is not the digest of this
    engine's limits), the whole tree is counted.
    """

    commit: str | None
    base_commit: str | None = None
    base_value: int | None = None
    base_limits: str | None = None


class CountQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One series: ``key`` comes back in the result; ``instants`` are aware datetimes, the frames wanted.

    ``snapshot``: the newest state is wanted too.
    """

    key: str
    query: str
    pattern_type: Literal["literal", "regexp"] = "literal"
    kind: Kind = "search"
    instants: tuple[datetime, ...]
    snapshot: SnapshotPoint | None = None


class CountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is wanted of one repository: one pass serves all queries."""

    queries: tuple[CountQuery, ...]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One count at one frame. Incomplete: ``value`` is what is known, ``reason`` says why it is not all.

    ``commit`` is None where the branch had no commit yet.
    """

    value: int
    complete: bool = True
    reason: Reason | None = None
    commit: str | None = None


class CountResult(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of each query, aligned with its instants.

    ``captures`` of each capture query: counts per captured value, aligned likewise.
    ``snapshots`` and ``snapshot_captures``: the same of each query that wanted one, by key.
    ``skipped``: distinct blobs by reason (``binary``, ``too-large``). ``files``: file instances through all frames that
    some query looked at; ``blobs`` and ``size_bytes``: distinct blobs read for them. ``limits``: digest of the limits
    under which was counted.
    """

    cells: Mapping[str, tuple[Cell, ...]]
    captures: Mapping[str, tuple[Mapping[str, int], ...]]
    skipped: Mapping[str, int]
    files: int
    blobs: int
    size_bytes: int
    duration_s: float
    matcher_version: int
    limits: str
    engine: str
    snapshots: Mapping[str, Cell] = {}
    snapshot_captures: Mapping[str, Mapping[str, int]] = {}


class RefsState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the refs are. ``tip`` is None when the branch has no commit.

    ``refs_fingerprint`` changes when any ref or HEAD does.
    """

    default_branch: str | None
    tip: str | None
    shallow: bool
    refs_fingerprint: str


class RepositoryState(RefsState, frozen=True, kw_only=True):
    """What is there to count.

    ``first_commit_at``/``last_commit_at``: committer times at the ends of the first-parent walk.
    """

    first_commit_at: datetime | None
    last_commit_at: datetime | None


class Engine(Protocol):
    """Counts in a repository. Thread-safe."""

    def count(
        self, repository: Path, branch: str | None, request: CountRequest, *, timeout_s: float | None = None
    ) -> CountResult:
        """One pass. ``branch`` None = the default branch. Raises QueryError, EngineError."""
        ...

    def describe(self, repository: Path) -> RepositoryState:
        """Raises EngineError when ``repository`` is none."""
        ...
