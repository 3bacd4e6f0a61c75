"""The registry of what every agent owes (DESIGN section 6). A test holds it against the agents that there are."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from infra.topics import HANDS_APP, HEADS_APP
from projections.insights import queries as insights
from projections.obligations import queries as obligations
from projections.repositories import queries as repositories
from schemas.envelope import Position
from schemas.events import (
    BackfillPlanned,
    BackfillRetried,
    InsightCreated,
    RecordingRequested,
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
)
from schemas.topics import Topic
from streams.obligations.names import Owing
from streams.obligations.obligation import Obligation, Owed, Standing
from streams.obligations.unplanned import unplanned_repositories
from streams.obligations.unseen import newest_pushes, unseen_pushes

_LIMIT: Final = 5_000
"""Open obligations read at once: what is beyond waits for these."""
_SEE: Final = "See the worker's log, then "


def _insights_without_plan(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(aggregate_id=insight_id, subject=str(insight_id), opened=Position.parse(position))
        for insight_id, position in insights.unplanned(connection, _LIMIT)
    ]


def _without_clone(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(aggregate_id=repository_id, subject=position, opened=Position.parse(position))
        for repository_id, position in repositories.followed_since(connection, "waiting")[:_LIMIT]
    ]


def _followed(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(aggregate_id=repository_id, subject=position, opened=Position.parse(position))
        for repository_id, position in repositories.followed_since(connection)
    ]


def _retries_without_plan(connection: Connection) -> Sequence[Owed]:
    found = obligations.opened(connection, Owing.BACKFILL_RETRY, _LIMIT)
    alive = insights.alive(connection, {one.aggregate_id for one in found})
    return [
        Owed(aggregate_id=one.aggregate_id, subject=one.subject, opened=one.position)
        for one in found
        if one.aggregate_id in alive
    ]


OBLIGATIONS: Final = (
    Obligation(
        name=Owing.INSIGHT_PLAN,
        agents=("planner.insights",),
        opening=InsightCreated,
        outcomes=(BackfillPlanned,),
        topic=Topic.INSIGHTS,
        group=HEADS_APP,
        closing={"insights": (Topic.INSIGHTS,)},
        owed=_insights_without_plan,
        deadline_s=10.0,
        attempts=5,
        owes="The plan of insight {aggregate_id}",
        remedy=f"{_SEE}create the insight again.",
    ),
    Obligation(
        name=Owing.REPOSITORY_CLONE,
        agents=("registrar",),
        opening=RepositoryRegistered,
        outcomes=(RepositoryPushed, RepositoryCloneFailed),
        topic=Topic.REPOSITORIES,
        group=HANDS_APP,
        closing={"repositories": (Topic.REPOSITORIES,)},
        owed=_without_clone,
        deadline_s=30.0,
        attempts=5,
        owes="The clone of repository {aggregate_id}",
        remedy=f"{_SEE}register the repository again.",
    ),
    Obligation(
        name=Owing.REPOSITORY_PLAN,
        agents=("planner.repositories",),
        opening=RepositoryRegistered,
        outcomes=(BackfillPlanned,),
        topic=Topic.REPOSITORIES,
        group=HEADS_APP,
        closing={
            "repositories": (Topic.REPOSITORIES,),
            "insights": (Topic.INSIGHTS,),
            "series_points": (Topic.INSIGHTS,),
        },
        owed=_followed,
        unmet=unplanned_repositories,
        deadline_s=15.0,
        attempts=5,
        look_s=15.0,
        owes="The plan of repository {aggregate_id} for the insights whose scope it is in",
        remedy=f"{_SEE}register the repository again.",
    ),
    Obligation(
        name=Owing.PUSH_SNAPSHOT,
        agents=("recorder",),
        opening=RepositoryPushed,
        outcomes=(RecordingRequested,),
        topic=Topic.REPOSITORIES,
        group=HEADS_APP,
        closing={
            "repositories": (Topic.REPOSITORIES,),
            "insights": (Topic.INSIGHTS,),
            "recordings": (Topic.RECORDINGS,),
            "series_points": (Topic.INSIGHTS, Topic.RESULTS),
        },
        owed=newest_pushes,
        unmet=unseen_pushes,
        deadline_s=15.0,
        attempts=5,
        look_s=15.0,
        owes="The newest count of repository {aggregate_id} after a push",
        remedy=f"{_SEE}tell of the push again: millstream repo notify.",
    ),
    Obligation(
        name=Owing.BACKFILL_RETRY,
        agents=("planner.retries",),
        opening=BackfillRetried,
        outcomes=(BackfillPlanned,),
        topic=Topic.INSIGHTS,
        group=HEADS_APP,
        closing={"obligations": (Topic.INSIGHTS,), "insights": (Topic.INSIGHTS,)},
        owed=_retries_without_plan,
        deadline_s=10.0,
        attempts=5,
        owes="The new plan that was asked for of insight {aggregate_id}",
        remedy=f"{_SEE}ask again: millstream insight retry {{aggregate_id}}.",
    ),
)
"""What an event makes an agent owe."""

STANDING: Final = (
    Standing(
        name=Owing.BACKFILL_CANCEL,
        agents=("dispatcher", "dispatcher.resign"),
        looks_at="requests that were neither dispatched nor ended, of cancelled insights too",
    ),
    Standing(
        name=Owing.RECORDING_DUE,
        agents=("recorder.due",),
        looks_at="grid instants that have passed, against what is planned",
    ),
    Standing(
        name=Owing.REPOSITORY_POLL,
        agents=("poller",),
        looks_at="refs of the repositories of its partitions, against what was said of them last",
    ),
)
"""What agents find by looking."""
