"""The schema: the SDL files of this folder, bound to the types that answer them."""

from functools import cache
from pathlib import Path

from ariadne import gql, make_executable_schema
from graphql import GraphQLSchema, print_schema

from api.graphql.scalars import date_time
from api.graphql.types import (
    backfills,
    commit_graph,
    consumer_groups,
    creating,
    dead_letters,
    definitions,
    event_states,
    event_traces,
    freshness,
    insights,
    monitor_actions,
    monitor_changes,
    monitor_events,
    monitor_previews,
    monitor_trials,
    monitors,
    nodes,
    operator_orders,
    organizations,
    people,
    permissions,
    previews,
    rebuilds,
    repositories,
    repository_changes,
    series,
    settings,
    site,
    token_changes,
    upload_changes,
    upload_logs,
    uploads,
    user_changes,
    view_backfill,
)

_FOLDER = Path(__file__).parent


@cache
def executable_schema() -> GraphQLSchema:
    """Built once per process. A field of the SDL that nothing answers takes the attribute of the same snake_case name."""
    sources = [gql(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.graphql"))]
    bindables = [
        date_time,
        *nodes.bindables,
        *freshness.bindables,
        *site.bindables,
        *settings.bindables,
        *backfills.bindables,
        *dead_letters.bindables,
        *operator_orders.bindables,
        *repositories.bindables,
        *repository_changes.bindables,
        *event_states.bindables,
        *event_traces.bindables,
        *insights.bindables,
        *view_backfill.bindables,
        *definitions.bindables,
        *creating.bindables,
        *series.bindables,
        *previews.bindables,
        *rebuilds.bindables,
        *consumer_groups.bindables,
        *commit_graph.bindables,
        *uploads.bindables,
        *upload_logs.bindables,
        *upload_changes.bindables,
        *people.bindables,
        *organizations.bindables,
        *user_changes.bindables,
        *token_changes.bindables,
        *permissions.bindables,
        *monitors.bindables,
        *monitor_actions.bindables,
        *monitor_events.bindables,
        *monitor_changes.bindables,
        *monitor_previews.bindables,
        *monitor_trials.bindables,
    ]
    return make_executable_schema(sources, *bindables, convert_names_case=True)


def sdl() -> str:
    """The whole schema as one text."""
    return print_schema(executable_schema()) + "\n"
