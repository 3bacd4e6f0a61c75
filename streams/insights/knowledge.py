"""What planner and recorder read: definitions, repositories, and which cells are known."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from projections.insights import queries as insights
from projections.judged import accepted_of
from projections.reading import Reader
from projections.repositories import queries as repositories
from projections.series_points import queries as series_points
from projections.settings import queries as site_settings
from schemas.events import SnapshotTarget
from schemas.topics import Topic
from streams.agent import Received
from streams.bases import Base
from streams.insights.cells import Pair
from streams.insights.plan import Definition, Known, Newest
from streams.insights.scope import Repository
from streams.known_bases import known_bases

DEFINITIONS: Final = {"insights": (Topic.INSIGHTS,), "repositories": (Topic.REPOSITORIES,)}
RESULTS: Final = {"series_points": (Topic.INSIGHTS, Topic.RESULTS)}
PLANS: Final = {"series_points": (Topic.INSIGHTS,)}
TOPICS: Final = (Topic.INSIGHTS, Topic.REPOSITORIES, Topic.RESULTS)


class Defined(msgspec.Struct, frozen=True):
    """Insights that nobody has deleted, repositories that are followed, and the newest state of those that have one."""

    definitions: Sequence[Definition]
    repositories: Sequence[Repository]
    targets: Mapping[int, SnapshotTarget]


class Knowledge:
    """Each method is one snapshot; all block."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def accepted(self, batch: Sequence[Received]) -> list[Received]:
        """Without the guarded events that were rejected or said twice; after waiting for the owners."""
        guarded = [one.position for one in batch if one.event.type.guarded]
        if not guarded:
            return list(batch)
        with self._reader.snapshot(("insights", "repositories")) as snapshot:
            accepted = accepted_of(snapshot.connection, guarded)
        return [one for one in batch if not one.event.type.guarded or one.position in accepted]

    def defined(self, only: Collection[int] | None = None) -> Defined:
        """All of them; of the repositories only those of ``only`` where it is given."""
        with self._reader.snapshot(("insights", "repositories")) as snapshot:
            connection = snapshot.connection
            definitions = insights.definitions_for_planning(connection)
            followed: Iterable[repositories.Repository] = ()
            if definitions:
                followed = (
                    repositories.all_repositories(connection)
                    if only is None
                    else repositories.by_ids(connection, only).values()
                )
            followed = [one for one in followed if one.removed_at is None]
        return Defined(
            definitions=[
                Definition(
                    insight_id=one.insight_id,
                    creator=one.creator,
                    created_at=one.created_at,
                    frames=one.frames,
                    series=one.series,
                )
                for one in definitions
            ],
            repositories=[Repository(one.id, one.name, one.fork, one.archived) for one in followed],
            targets={
                one.id: SnapshotTarget(commit=one.tip, pushed_offset=one.pushed_offset)
                for one in followed
                if one.pushed_offset is not None
            },
        )

    def known(
        self,
        series_ids: Collection[str],
        repository_ids: Collection[int] | None,
        targets: Mapping[int, SnapshotTarget],
    ) -> Known:
        """Cells of these series; ``repository_ids`` None: in all repositories."""
        with self._reader.snapshot(("series_points",)) as snapshot:
            cells = series_points.known_cells(snapshot.connection, series_ids, repository_ids)
            found = series_points.snapshots(snapshot.connection, series_ids, repository_ids)
        return Known(
            covered={pair: one.covered for pair, one in cells.items()},
            planned={pair: one.planned for pair, one in cells.items()},
            newest=Newest(
                targets,
                {
                    (series_id, repository_id): one.pushed_offset
                    for series_id, rows in found.items()
                    for repository_id, one in rows.items()
                },
            ),
        )

    def missing(self, asked: Sequence[series_points.Asked]) -> dict[Pair, series_points.KnownCells]:
        """Those of ``asked`` that are not planned whole, with what is known of them."""
        with self._reader.snapshot(("series_points",)) as snapshot:
            return series_points.not_planned(snapshot.connection, asked)

    def planned_and_counted(
        self, series_ids: Collection[str], repository_ids: Collection[int]
    ) -> tuple[set[Pair], dict[Pair, Base]]:
        """Pairs that are planned at all, and the snapshots there are."""
        with self._reader.snapshot(("series_points",)) as snapshot:
            cells = series_points.known_cells(snapshot.connection, series_ids, repository_ids)
            found = known_bases(snapshot.connection, series_ids, repository_ids)
        return {pair for pair, one in cells.items() if one.planned}, found

    def window_s(self) -> float:
        """Over how many seconds recordings are spread."""
        with self._reader.snapshot(("settings",)) as snapshot:
            return site_settings.values(snapshot.connection).recording_window_s
