"""The registry of what every agent owes (DESIGN section 6). A test holds it against the agents that there are."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from infra.topics import HANDS_APP, HEADS_APP
from projections.commit_graph import queries as commit_graph
from projections.insights import queries as insights
from projections.monitors.queries import history
from projections.obligations import queries as obligations
from projections.recordings import queries as recordings
from projections.repositories import queries as repositories
from schemas.envelope import Position
from schemas.events import (
    ActionFailed,
    ActionRequested,
    ActionSucceeded,
    BackfillPlanned,
    BackfillRetried,
    CommitsIndexed,
    InsightCreated,
    RecordingDispatched,
    RecordingRequested,
    RepositoryCloneFailed,
    RepositoryPushed,
    RepositoryRegistered,
    SearchCompleted,
    SearchFailed,
    TriggerEvaluated,
)
from schemas.topics import Topic
from streams.insights.retrying import retried_plan_id
from streams.obligations.names import Owing
from streams.obligations.obligation import Obligation, Owed, Standing
from streams.obligations.unplanned import unplanned_repositories
from streams.obligations.unseen import newest_pushes, unseen_pushes
from streams.recordings.dispatch import MAX_ATTEMPTS

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
    plans = {
        retried_plan_id(one.aggregate_id, one.subject): one
        for one in obligations.opened(connection, Owing.BACKFILL_RETRY)
    }
    planned = insights.planned_events(connection, plans)
    alive = insights.alive(connection, {one.aggregate_id for one in plans.values()})
    return [
        Owed(aggregate_id=one.aggregate_id, subject=one.subject, opened=one.position)
        for plan_id, one in plans.items()
        if plan_id not in planned and one.aggregate_id in alive
    ]


def _dispatched(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(
            aggregate_id=repository_id,
            subject=request_id,
            opened=Position.parse(position),
            attempt=attempt,
        )
        for repository_id, request_id, attempt, position in recordings.dispatched(connection, _LIMIT)
    ]


def _pushes_without_commits(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(aggregate_id=repository_id, subject=str(pushed.offset), opened=pushed)
        for repository_id, position in commit_graph.untold(connection, _LIMIT)
        for pushed in (Position.parse(position),)
    ]


def _events_without_actions(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(aggregate_id=monitor_id, subject=str(job_id), opened=Position.parse(position))
        for monitor_id, job_id, position in history.unrequested(connection, _LIMIT)
    ]


def _actions_without_outcome(connection: Connection) -> Sequence[Owed]:
    return [
        Owed(
            aggregate_id=one.monitor_id,
            subject=f"{one.id}:{one.attempt}",
            opened=Position.parse(one.requested_position),
        )
        for one in history.queued(connection, _LIMIT)
        if one.requested_position is not None
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
        closing={"insights": (Topic.INSIGHTS,)},
        owed=_retries_without_plan,
        deadline_s=10.0,
        attempts=5,
        owes="The new plan that was asked for of insight {aggregate_id}",
        remedy=f"{_SEE}ask again: millstream insight retry.",
    ),
    Obligation(
        name=Owing.RECORDING_COUNT,
        agents=("runner.interactive", "runner.background"),
        opening=RecordingDispatched,
        outcomes=(SearchCompleted, SearchFailed),
        topic=Topic.RECORDINGS,
        group=HANDS_APP,
        closing={
            "recordings": (
                Topic.RECORDINGS,
                Topic.RESULTS,
                Topic.WORK_INTERACTIVE,
                Topic.WORK_BACKGROUND,
            )
        },
        owed=_dispatched,
        deadline_s=30.0,
        attempts=MAX_ATTEMPTS,
        owes="The outcome of request {subject} in repository {aggregate_id}",
        remedy=f"{_SEE}ask again: millstream insight retry.",
    ),
    Obligation(
        name=Owing.COMMITS_INDEX,
        agents=("commits.indexer",),
        opening=RepositoryPushed,
        outcomes=(CommitsIndexed,),
        topic=Topic.REPOSITORIES,
        group=HANDS_APP,
        closing={"commit_graph": (Topic.REPOSITORIES, Topic.COMMITS)},
        owed=_pushes_without_commits,
        deadline_s=60.0,
        attempts=5,
        owes="What the push at offset {subject} has brought to the commits of repository {aggregate_id}",
        remedy=f"{_SEE}tell of the push again: millstream repo notify.",
    ),
    Obligation(
        name=Owing.TRIGGER_ACTIONS,
        agents=("monitors.actions",),
        opening=TriggerEvaluated,
        outcomes=(ActionRequested,),
        topic=Topic.TRIGGERS,
        group=HEADS_APP,
        closing={"monitors": (Topic.TRIGGERS,)},
        owed=_events_without_actions,
        deadline_s=10.0,
        attempts=5,
        owes="What has to be sent for event {subject} of monitor {aggregate_id}",
        remedy=f"{_SEE}look at the event's page.",
    ),
    Obligation(
        name=Owing.ACTION_OUTCOME,
        agents=("monitors.sender",),
        opening=ActionRequested,
        outcomes=(ActionSucceeded, ActionFailed),
        topic=Topic.TRIGGERS,
        group=HEADS_APP,
        closing={"monitors": (Topic.TRIGGERS,)},
        owed=_actions_without_outcome,
        deadline_s=60.0,
        attempts=5,
        owes="The outcome of delivery {subject} of monitor {aggregate_id}",
        remedy=f"{_SEE}look at the event's page.",
    ),
)
"""What an event makes an agent owe."""

STANDING: Final = (
    Standing(
        name=Owing.BACKFILL_CANCEL,
        agents=("dispatcher", "dispatcher.resign"),
        looks_at="requests that were neither dispatched nor ended, those of cancelled insights too",
    ),
    Standing(
        name=Owing.RECORDING_DUE,
        agents=("recorder.due",),
        looks_at="grid instants that have passed, and what of them is planned",
    ),
    Standing(
        name=Owing.REPOSITORY_POLL,
        agents=("poller",),
        looks_at="the refs of every repository that is ready",
    ),
    Standing(
        name=Owing.MONITOR_RUNS,
        agents=("monitors.pushes", "monitors.asked", "monitors.evaluator", "monitors.tick"),
        looks_at="pushes that no run of a monitor has covered, runs without an outcome, history that is too old",
    ),
    Standing(
        name=Owing.ACTION_RETRY,
        agents=("monitors.retries",),
        looks_at="deliveries that were refused and are to be tried again",
    ),
    Standing(
        name=Owing.RENEWAL, agents=("reconciler",), looks_at="every obligation of this registry that is open"
    ),
    Standing(
        name=Owing.UPLOAD_LIFE,
        agents=("uploads",),
        looks_at="every upload that is not in a state in which it may stay",
    ),
    Standing(
        name=Owing.UPLOAD_REMOVAL,
        agents=("uploads.remover",),
        looks_at="content that only deleted uploads name",
    ),
    Standing(
        name=Owing.SECRET_REMOVAL,
        agents=("monitors.secrets", "accounts.addresses"),
        looks_at="secrets that no monitor names, and addresses that no account does",
    ),
)
"""What agents find by looking."""
