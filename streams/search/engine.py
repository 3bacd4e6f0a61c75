"""The door of the search engine: the protocol, its values, and the engine that is the default."""

from streams.search.git.engine import GitEngine, SearchLimits
from streams.search.git.state import default_branch, describe, has_commit, refs_fingerprint, refs_of
from streams.search.matcher import MATCHER_VERSION
from streams.search.protocol import (
    Cell,
    CountQuery,
    CountRequest,
    CountResult,
    Engine,
    EngineError,
    RefsState,
    RepositoryState,
    SnapshotPoint,
)

__all__ = [
    "MATCHER_VERSION",
    "Cell",
    "CountQuery",
    "CountRequest",
    "CountResult",
    "Engine",
    "EngineError",
    "GitEngine",
    "RefsState",
    "RepositoryState",
    "SearchLimits",
    "SnapshotPoint",
    "default_branch",
    "describe",
    "has_commit",
    "refs_fingerprint",
    "refs_of",
]
