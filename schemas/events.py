"""Every event type of this build, imported so that the registry is whole."""

from schemas.insights.events import (
    BackfillPlanned,
    InsightCreated,
    PatternType,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    SeriesDefinition,
    SeriesKind,
)
from schemas.recordings.events import (
    DispatchedRequest,
    IndexRange,
    Lane,
    RecordingDispatched,
    RecordingRequest,
    RecordingRequested,
    RepositoryLocation,
    RequestedSeries,
)
from schemas.registry import REGISTRY
from schemas.repositories.events import (
    RefMove,
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
)
from schemas.results.events import (
    CountingStatistics,
    FailedSeries,
    IncompleteCell,
    SearchCompleted,
    SearchFailed,
    SeriesResult,
)

__all__ = [
    "REGISTRY",
    "BackfillPlanned",
    "CountingStatistics",
    "DispatchedRequest",
    "FailedSeries",
    "IncompleteCell",
    "IndexRange",
    "InsightCreated",
    "Lane",
    "PatternType",
    "PlanCause",
    "PlannedScope",
    "PlannedSeries",
    "RecordingDispatched",
    "RecordingRequest",
    "RecordingRequested",
    "RefMove",
    "RepositoryCloneFailed",
    "RepositoryLocation",
    "RepositoryPushed",
    "RepositoryRegistered",
    "RepositoryRemoved",
    "RepositoryRenamed",
    "RepositoryUpdated",
    "RequestedSeries",
    "SearchCompleted",
    "SearchFailed",
    "SeriesDefinition",
    "SeriesKind",
    "SeriesResult",
]
