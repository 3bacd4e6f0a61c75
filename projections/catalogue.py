"""Every projection of this build."""

from datetime import timedelta
from typing import Final

from projections.event_index import fold as event_index_fold
from projections.event_index import tables as event_index_tables
from projections.event_index import writer as event_index_writer
from projections.insights import fold as insights_fold
from projections.insights import tables as insights_tables
from projections.obligations import fold as obligations_fold
from projections.obligations import tables as obligations_tables
from projections.projection import Decoding, Projection, prepared
from projections.recordings import fold as recordings_fold
from projections.recordings import tables as recordings_tables
from projections.repositories import fold as repositories_fold
from projections.repositories import tables as repositories_tables
from projections.runner.rows import RowWriter
from projections.series_points import fold as points_fold
from projections.series_points import tables as points_tables
from projections.series_points import writer as points_writer
from projections.settings import fold as settings_fold
from projections.settings import tables as settings_tables
from schemas.errors import MillstreamError
from schemas.topics import Topic

REPOSITORIES: Final = Projection(
    name="repositories",
    version=2,
    topics=(Topic.REPOSITORIES,),
    metadata=repositories_tables.METADATA,
    prepare=prepared(repositories_fold.fold, RowWriter(repositories_tables.METADATA)),
    restricted={"repo_names": "id"},
    owns=frozenset((Topic.REPOSITORIES,)),
)
INSIGHTS: Final = Projection(
    name="insights",
    version=2,
    topics=(Topic.INSIGHTS,),
    metadata=insights_tables.METADATA,
    prepare=prepared(insights_fold.fold, RowWriter(insights_tables.METADATA)),
    owns=frozenset((Topic.INSIGHTS,)),
)
RECORDINGS: Final = Projection(
    name="recordings",
    version=3,
    topics=(
        Topic.INSIGHTS,
        Topic.RECORDINGS,
        Topic.RESULTS,
        Topic.WORK_INTERACTIVE,
        Topic.WORK_BACKGROUND,
    ),
    metadata=recordings_tables.METADATA,
    prepare=prepared(recordings_fold.fold, RowWriter(recordings_tables.METADATA)),
    restricted={"insights_query_runner_jobs": "repository_id"},
    bookkeeping={"insights_query_runner_jobs": recordings_tables.BOOKKEEPING},
    transient=frozenset((Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND)),
)
SERIES_POINTS: Final = Projection(
    name="series_points",
    version=3,
    topics=(Topic.INSIGHTS, Topic.RESULTS),
    metadata=points_tables.METADATA,
    prepare=prepared(points_fold.fold, points_writer.write),
    restricted=dict.fromkeys((table.name for table in points_tables.METADATA.sorted_tables), "repo_id"),
)

SETTINGS: Final = Projection(
    name="settings",
    version=1,
    topics=(Topic.SETTINGS,),
    metadata=settings_tables.METADATA,
    prepare=prepared(settings_fold.fold, RowWriter(settings_tables.METADATA)),
    owns=frozenset((Topic.SETTINGS,)),
)
OBLIGATIONS: Final = Projection(
    name="obligations",
    version=1,
    topics=(Topic.INSIGHTS, Topic.REPOSITORIES),
    metadata=obligations_tables.METADATA,
    prepare=prepared(obligations_fold.fold, RowWriter(obligations_tables.METADATA)),
    restricted={"obligations": "repository_id"},
)
EVENT_INDEX: Final = Projection(
    name="event_index",
    version=1,
    topics=tuple(Topic),
    metadata=event_index_tables.METADATA,
    prepare=prepared(event_index_fold.fold, event_index_writer.write),
    transient=frozenset((Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND)),
    decoding=Decoding.ENVELOPE,
    horizon=timedelta(days=30),
)

PROJECTIONS: Final = (
    REPOSITORIES,
    INSIGHTS,
    RECORDINGS,
    SERIES_POINTS,
    SETTINGS,
    OBLIGATIONS,
    EVENT_INDEX,
)


class UnknownProjection(MillstreamError):
    """A projection was named that this build does not have."""


def projection(name: str) -> Projection:
    """The projection of this name. Raises UnknownProjection."""
    for found in PROJECTIONS:
        if found.name == name:
            return found
    raise UnknownProjection(
        f"there is no projection {name!r}",
        remedy="Name one of " + ", ".join(found.name for found in PROJECTIONS) + ".",
    )
