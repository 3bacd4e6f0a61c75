"""The schema: the SDL files of this folder, bound to the types that answer them."""

from functools import cache
from pathlib import Path

from ariadne import gql, make_executable_schema
from graphql import GraphQLSchema, print_schema

from api.graphql.scalars import date_time
from api.graphql.types import (
    backfills,
    creating,
    definitions,
    event_states,
    freshness,
    insights,
    nodes,
    previews,
    repositories,
    repository_changes,
    series,
    settings,
    site,
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
        *repositories.bindables,
        *repository_changes.bindables,
        *event_states.bindables,
        *insights.bindables,
        *view_backfill.bindables,
        *definitions.bindables,
        *creating.bindables,
        *series.bindables,
        *previews.bindables,
    ]
    return make_executable_schema(sources, *bindables, convert_names_case=True)


def sdl() -> str:
    """The whole schema as one text."""
    return print_schema(executable_schema()) + "\n"
