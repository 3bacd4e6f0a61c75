"""What the agents of monitors read; each method is one snapshot and blocks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from projections.judged import accepted_of
from projections.monitors.queries import definitions, positions
from projections.reading import Reader
from projections.repositories import queries as repositories
from projections.settings import queries as site_settings
from schemas.envelope import Position
from schemas.events import RepositoryLocation
from schemas.topics import Topic
from streams.monitors.backoff import FailedRun, rests_until
from streams.monitors.runs import Move, Phase, Place, Standing, Watcher

FIRING: Final = {
    "monitors": (Topic.MONITORS, Topic.REPOSITORIES),
    "repositories": (Topic.REPOSITORIES,),
}
"""What has to be projected before a push begins runs."""
FIRING_TOPICS: Final = (Topic.MONITORS, Topic.REPOSITORIES)


Match: TypeAlias = tuple[int, int, int]
"""(monitor, repository, since when it matches)."""


class Followed(msgspec.Struct, frozen=True):
    """A repository that is followed, and where its clone is."""

    place: Place
    location: RepositoryLocation


class Pushed(msgspec.Struct, frozen=True):
    """The newest push of a repository."""

    partition: int
    offset: int
    move: Move


class Looked(msgspec.Struct, frozen=True):
    """Who looks, where, and what was pushed there last."""

    watchers: Sequence[Watcher]
    followed: Mapping[int, Followed]
    pushed: Mapping[int, Pushed]
    first_offsets: Mapping[int, int]


class Knowledge:
    """Reads projections for the agents that begin runs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def accepted(self, found: Collection[Position]) -> set[Position]:
        """Those of these guarded events that were accepted; after waiting for the owner."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            return accepted_of(snapshot.connection, found)

    def watchers(self) -> list[Watcher]:
        """Every monitor that looks."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            return [_watcher(one) for one in definitions.standing(snapshot.connection)]

    def looked(self, repository_ids: Collection[int] | None = None) -> Looked:
        """All of it; of the repositories only those of ``repository_ids`` where they are given. Nothing where nobody looks."""
        with self._reader.snapshot(("monitors", "repositories")) as snapshot:
            connection = snapshot.connection
            watchers = [_watcher(one) for one in definitions.standing(connection)]
            if not watchers:
                return Looked((), {}, {}, {})
            found = (
                repositories.all_repositories(connection)
                if repository_ids is None
                else [
                    one
                    for one in repositories.by_ids(connection, repository_ids).values()
                    if one.removed_at is None
                ]
            )
            pushed = positions.pushed(connection, [one.id for one in found])
            identities = positions.identities(connection, [one.id for one in found])
        return Looked(
            watchers=watchers,
            followed={one.id: _followed(one, identities.get(one.id, ())) for one in found},
            pushed={key: _pushed(one) for key, one in pushed.items()},
            first_offsets={
                key: one.first_pushed_offset
                for key, one in pushed.items()
                if one.first_pushed_offset is not None
            },
        )

    def pushed_since(self, at: datetime) -> dict[int, Pushed]:
        """The newest push of every repository that was pushed to after ``at``."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            found = positions.pushed_since(snapshot.connection, at)
        return {one.repository_id: _pushed(one) for one in found}

    def standings(
        self, watchers: Sequence[Watcher], repository_ids: Collection[int]
    ) -> dict[tuple[int, int], Standing]:
        """By (monitor, repository): what was searched since the monitor began."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            found = positions.searched(
                snapshot.connection, [(one.id, one.begun) for one in watchers], repository_ids
            )
        return {pair: Standing(frozenset(one.oids), one.offset, one.since) for pair, one in found.items()}

    def resting(
        self, watchers: Sequence[Watcher], repository_ids: Collection[int], now: datetime
    ) -> set[Match]:
        """Where runs failed lately, so that none is begun yet."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            found = positions.failed(
                snapshot.connection, [(one.id, one.begun) for one in watchers], repository_ids
            )
        failures: dict[Match, list[FailedRun]] = defaultdict(list)
        for one in found:
            failures[one.monitor_id, one.repository_id, one.since].append(FailedRun(one.at, one.cause))
        return {
            match
            for match, runs in failures.items()
            if (until := rests_until(runs)) is not None and now < until
        }

    def open_runs(self, before: datetime, first: int) -> list[positions.OpenRun]:
        """Runs that began before and have no outcome."""
        with self._reader.snapshot(("monitors",)) as snapshot:
            return positions.open_runs(snapshot.connection, before, first)

    def interval_s(self) -> float:
        """The site setting."""
        with self._reader.snapshot(("settings",)) as snapshot:
            return site_settings.values(snapshot.connection).monitor_interval_s


def _watcher(one: definitions.StandingMonitor) -> Watcher:
    return Watcher(one.id, one.query, one.begun_offset, one.begun_at)


def _phases(identities: Sequence[positions.Identity]) -> tuple[Phase, ...]:
    """What was said, one after the other: null is as it was."""
    found: list[Phase] = []
    name, fork, archived, is_removed = "", False, False, False
    for one in identities:
        name = name if one.name is None else one.name
        fork = fork if one.fork is None else one.fork
        archived = archived if one.archived is None else one.archived
        is_removed = is_removed if one.removed is None else one.removed
        found.append(Phase(one.offset, one.at, None if is_removed else name, fork, archived))
    return tuple(found)


def _followed(one: repositories.Repository, identities: Sequence[positions.Identity]) -> Followed:
    return Followed(
        Place(one.id, _phases(identities)),
        RepositoryLocation(path=one.path, clone_url=one.clone_url, default_branch=one.default_branch),
    )


def _pushed(one: positions.Pushed) -> Pushed:
    return Pushed(
        one.pushed_partition, one.pushed_offset, Move(one.pushed_at, one.tip, one.previous_tip, one.is_first)
    )
