"""Which repositories lack a plan for an insight whose scope they are in: the planner's own rule, asked again."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from projections.insights import queries as insights
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
from streams.insights.plan import Definition, is_announced, scopes_by_repository, scopes_of
from streams.insights.scope import Repository
from streams.obligations.obligation import Key, Owed


def unplanned_repositories(connection: Connection, owed: Sequence[Owed]) -> Collection[Key]:
    """Those of ``owed`` whose repository is in the scope of a series that is not planned there."""
    ids = {one.aggregate_id for one in owed}
    found = repositories.by_ids(connection, ids).values()
    followed = [
        Repository(one.id, one.name, one.fork, one.archived) for one in found if one.removed_at is None
    ]
    wanted = [
        (definition, repository_id, scopes)
        for definition in _definitions(connection)
        for repository_id, scopes in scopes_by_repository(scopes_of(definition, followed)).items()
    ]
    series_ids = {one.series_id for _, _, scopes in wanted for scope in scopes for one in scope.series}
    cells = series_points.known_cells(connection, series_ids, ids)
    planned = {pair: known.planned for pair, known in cells.items()}
    unplanned = {
        repository_id
        for definition, repository_id, scopes in wanted
        if not is_announced(definition, scopes, planned)
    }
    return {one.key for one in owed if one.aggregate_id in unplanned}


def _definitions(connection: Connection) -> list[Definition]:
    return [
        Definition(
            insight_id=one.insight_id,
            creator=one.creator,
            created_at=one.created_at,
            frames=one.frames,
            series=one.series,
        )
        for one in insights.definitions_for_planning(connection)
    ]
