"""Pushes whose snapshot nobody asked for, though series are planned there: the recorder's own rule, asked again."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from projections.insights import queries as insights
from projections.recordings import queries as recordings
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
from schemas.envelope import Position
from schemas.topics import Topic
from streams.insights.due import snapshot_request_id
from streams.obligations.obligation import Key, Owed


def newest_pushes(connection: Connection) -> Sequence[Owed]:
    """The newest push of every followed repository."""
    return [
        Owed(
            aggregate_id=one.id,
            subject=str(one.pushed_offset),
            opened=Position(
                Topic.REPOSITORIES.value, Position.parse(one.registered_position).partition, one.pushed_offset
            ),
        )
        for one in repositories.all_repositories(connection)
        if one.pushed_offset is not None
    ]


def unseen_pushes(connection: Connection, owed: Sequence[Owed]) -> Collection[Key]:
    """Those of ``owed`` that a planned series of a living insight has not seen, and that no request names."""
    ids = {one.aggregate_id for one in owed}
    series_ids = {
        series.series_id
        for definition in insights.definitions_for_planning(connection)
        for series in definition.series
    }
    planned = series_points.known_cells(connection, series_ids, ids)
    seen = series_points.snapshots(connection, series_ids, ids)
    newest = {one.aggregate_id: int(one.subject) for one in owed}
    behind: set[int] = set()
    without: set[int] = set()
    for (series_id, repository_id), cells in planned.items():
        found = seen[series_id].get(repository_id)
        if not cells.planned or (found is not None and found.pushed_offset >= newest[repository_id]):
            continue
        # The first count comes with the backfill, which may wait in a queue, or have been cancelled.
        (without if found is None else behind).add(repository_id)
    in_backfill = recordings.newest_snapshots_asked(connection, without)
    behind |= {one for one in without if in_backfill.get(one, -1) < newest[one]}
    requests = {
        one.key: (one.aggregate_id, snapshot_request_id(one.aggregate_id, int(one.subject))) for one in owed
    }
    asked = recordings.exists(connection, requests.values())
    return {one.key for one in owed if one.aggregate_id in behind and requests[one.key] not in asked}
