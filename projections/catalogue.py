"""Every projection of this build."""

from datetime import timedelta
from typing import Final

from projections.access import fold as access_fold
from projections.access import tables as access_tables
from projections.access import writer as access_writer
from projections.accounts import fold as accounts_fold
from projections.accounts import tables as accounts_tables
from projections.commit_graph import fold as graph_fold
from projections.commit_graph import step as graph_step
from projections.commit_graph import tables as graph_tables
from projections.commit_graph import writer as graph_writer
from projections.dirt import BOOKKEEPING as DERIVE_BOOKKEEPING
from projections.event_index import fold as event_index_fold
from projections.event_index import gathering as event_index_gathering
from projections.event_index import tables as event_index_tables
from projections.event_index import writer as event_index_writer
from projections.insights import fold as insights_fold
from projections.insights import tables as insights_tables
from projections.monitors import fold as monitors_fold
from projections.monitors import tables as monitors_tables
from projections.monitors import writer as monitors_writer
from projections.obligations import fold as obligations_fold
from projections.obligations import tables as obligations_tables
from projections.operations import fold as operations_fold
from projections.operations import tables as operations_tables
from projections.projection import Bulk, Decoding, Projection, prepared
from projections.recordings import fold as recordings_fold
from projections.recordings import tables as recordings_tables
from projections.repositories import fold as repositories_fold
from projections.repositories import tables as repositories_tables
from projections.runner.rows import RowWriter
from projections.series_points import bulk as points_bulk
from projections.series_points import fold as points_fold
from projections.series_points import gathering as points_gathering
from projections.series_points import tables as points_tables
from projections.series_points import writer as points_writer
from projections.settings import fold as settings_fold
from projections.settings import tables as settings_tables
from projections.uploads import fold as uploads_fold
from projections.uploads import tables as uploads_tables
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
    gatherer=points_gathering.begin,
    bulk=points_bulk.BULK,
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
    version=2,
    topics=(Topic.INSIGHTS, Topic.REPOSITORIES, Topic.TRIGGERS),
    metadata=obligations_tables.METADATA,
    prepare=prepared(obligations_fold.fold, RowWriter(obligations_tables.METADATA)),
    restricted={"obligations": "repository_id"},
)
OPERATIONS: Final = Projection(
    name="operations",
    version=1,
    topics=(Topic.OPERATIONS,),
    metadata=operations_tables.METADATA,
    prepare=prepared(operations_fold.fold, RowWriter(operations_tables.METADATA)),
    owns=frozenset((Topic.OPERATIONS,)),
)
EVENT_INDEX: Final = Projection(
    name="event_index",
    version=4,
    topics=tuple(Topic),
    metadata=event_index_tables.METADATA,
    prepare=prepared(event_index_fold.fold, event_index_writer.write),
    transient=frozenset((Topic.WORK_INTERACTIVE, Topic.WORK_BACKGROUND, Topic.CANARY)),
    decoding=Decoding.ENVELOPE,
    horizon=timedelta(days=30),
    gatherer=event_index_gathering.begin,
    bulk=Bulk(frozenset(("events",))),
    restricted={"events": "repository_id"},
)
ACCOUNTS: Final = Projection(
    name="accounts",
    version=1,
    topics=(Topic.ACCOUNTS,),
    metadata=accounts_tables.METADATA,
    prepare=prepared(accounts_fold.fold, RowWriter(accounts_tables.METADATA)),
    owns=frozenset((Topic.ACCOUNTS,)),
)
ACCESS: Final = Projection(
    name="access",
    version=2,
    topics=(Topic.REPOSITORIES, Topic.ACCOUNTS),
    metadata=access_tables.METADATA,
    prepare=prepared(access_fold.fold, access_writer.write),
)

COMMIT_GRAPH: Final = Projection(
    name="commit_graph",
    version=1,
    topics=graph_fold.TOPICS,
    metadata=graph_tables.METADATA,
    prepare=prepared(graph_fold.fold, graph_writer.write),
    restricted=dict.fromkeys((table.name for table in graph_tables.METADATA.sorted_tables), graph_tables.KEY),
    bookkeeping={"lsif_dirty_repositories": DERIVE_BOOKKEEPING},
    derive=graph_step.DERIVE,
)
UPLOADS: Final = Projection(
    name="uploads",
    version=2,
    topics=(Topic.UPLOADS,),
    metadata=uploads_tables.METADATA,
    prepare=prepared(uploads_fold.fold, RowWriter(uploads_tables.METADATA)),
    restricted={"lsif_uploads": "repository_id", "lsif_uploads_audit_logs": "repository_id"},
    owns=frozenset((Topic.UPLOADS,)),
)
MONITORS: Final = Projection(
    name="monitors",
    version=4,
    topics=(Topic.MONITORS, Topic.TRIGGERS, Topic.REPOSITORIES),
    metadata=monitors_tables.METADATA,
    prepare=prepared(monitors_fold.fold, monitors_writer.MonitorWriter()),
    restricted={
        "cm_trigger_jobs": "repository_id",
        "cm_action_jobs": "repository_id",
        "cm_last_searched": "repo_id",
        "cm_repositories": "repository_id",
        "cm_repository_identities": "repository_id",
    },
    owns=frozenset((Topic.MONITORS,)),
)

PROJECTIONS: Final = (
    REPOSITORIES,
    INSIGHTS,
    RECORDINGS,
    SERIES_POINTS,
    SETTINGS,
    OBLIGATIONS,
    OPERATIONS,
    EVENT_INDEX,
    COMMIT_GRAPH,
    UPLOADS,
    ACCOUNTS,
    ACCESS,
    MONITORS,
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
