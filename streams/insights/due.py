"""What a passed grid instant and a push make due. Pure: time, definitions and what is known come in, requests go out.

Ids follow from what is asked (series, frames, repository), so that two leaders, or one that asks again after a crash,
ask the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.events import (
    BackfillPlanned,
    IndexRange,
    Lane,
    PlanCause,
    PlannedScope,
    PlannedSeries,
    RecordingRequest,
    SeriesDefinition,
    SnapshotTarget,
)
from schemas.grid import Interval
from schemas.ids import derived_event_id
from streams.bases import Base, bases_of
from streams.insights.cells import Cells, subtract
from streams.insights.plan import Definition, plan_parts
from streams.insights.requests import NOMINAL_CHANGES, NOMINAL_FILES, frames_cost, requested, splits

MOST_CAUGHT_UP: Final = 1_000
"""Frames per series that are caught up at most: the newest ones."""


class Owned(msgspec.Struct, frozen=True):
    """One series of living insights; requests for it bear the insight with the smallest id."""

    series: SeriesDefinition
    insight_id: int
    creator: str


class Due(msgspec.Struct, frozen=True):
    """A series whose frames [first, end) have passed since its insights were planned."""

    owned: Owned
    first: int
    end: int

    @property
    def series(self) -> SeriesDefinition:
        return self.owned.series

    @property
    def interval(self) -> Interval:
        return Interval(self.series.unit, self.series.value)


class Open(msgspec.Struct, frozen=True):
    """What of a due series is not planned in one repository, and what of that is not counted either."""

    due: Due
    missing: tuple[IndexRange, ...]
    uncounted: tuple[IndexRange, ...]


def owned_series(definitions: Iterable[Definition]) -> dict[str, Owned]:
    """Every distinct series, in the order of insights."""
    found: dict[str, Owned] = {}
    for definition in sorted(definitions, key=lambda one: one.insight_id):
        for series in definition.series:
            found.setdefault(series.series_id, Owned(series, definition.insight_id, definition.creator))
    return found


def due_series(definitions: Sequence[Definition], now: datetime) -> list[Due]:
    """The series for which a grid instant has passed since the first of their insights was created."""
    created: dict[str, datetime] = {}
    for definition in definitions:
        for series in definition.series:
            known = created.get(series.series_id, definition.created_at)
            created[series.series_id] = min(known, definition.created_at)
    found: list[Due] = []
    for series_id, owned in owned_series(definitions).items():
        interval = Interval(owned.series.unit, owned.series.value)
        end = interval.index_at(now) + 1
        first = max(interval.index_at(created[series_id]) + 1, end - MOST_CAUGHT_UP, 0)
        if first < end:
            found.append(Due(owned, first, end))
    return found


def open_of(due: Due, planned: Cells, covered: Cells) -> Open | None:
    """What is left of ``due`` in one repository; None when all of it is planned."""
    missing = subtract([(due.first, due.end)], planned)
    if not missing:
        return None
    return Open(due, tuple(missing), tuple(subtract(missing, covered)))


def due_at(repository_share: float, dues: Sequence[Due], window_s: float) -> datetime:
    """When a repository's turn comes: after the newest instant, spread over the window by its share in [0, 1).

    The window is at most half of the shortest interval: a frame is asked for before the next one is due.
    """
    newest = max(due.interval.instant(due.end - 1) for due in dues)
    shortest_s = min(
        (due.interval.instant(due.end - 1) - due.interval.instant(due.end - 2)).total_seconds()
        for due in dues
    )
    return newest + timedelta(seconds=repository_share * min(window_s, shortest_s / 2))


def recording_requests(repository_id: int, opened: Sequence[Open]) -> list[RecordingRequest]:
    """One request with all that is open in a repository, or several where it would be too large."""
    wanted = {one.due.series.series_id: one for one in opened}
    asked = [requested(one.due.series, one.missing) for one in opened]
    found: list[RecordingRequest] = []
    together = splits(asked)
    for number, split in enumerate(together, start=1):
        named = [f"{one.series_id}{one.frames}" for one in split]
        left = [
            msgspec.structs.replace(one, frames=list(wanted[one.series_id].uncounted))
            for one in split
            if wanted[one.series_id].uncounted
        ]
        if not left:
            continue
        owner = min((wanted[one.series_id].due.owned for one in left), key=lambda one: one.insight_id)
        found.append(
            RecordingRequest(
                request_id=derived_event_id("recording.requested", "due", repository_id, *named),
                repository_id=repository_id,
                insight_id=owner.insight_id,
                creator=owner.creator,
                lane=Lane.SCHEDULED,
                series=left,
                cost=frames_cost(left),
                split=number,
                of=len(together),
            )
        )
    return found


def recording_plans(
    opened: Mapping[int, Sequence[Open]], waited_for: Sequence[str]
) -> list[tuple[str, BackfillPlanned]]:
    """(event id, plan) of all that was asked, per insight; ``opened`` by repository."""
    repositories: dict[tuple[int, str, IndexRange], list[int]] = {}
    due_of: dict[str, Due] = {}
    for repository_id in sorted(opened):
        for one in opened[repository_id]:
            owned = one.due.owned
            due_of[owned.series.series_id] = one.due
            for cells in one.missing:
                key = (owned.insight_id, owned.series.series_id, cells)
                repositories.setdefault(key, []).append(repository_id)
    scopes: dict[int, dict[tuple[int, ...], list[PlannedSeries]]] = {}
    for (insight_id, series_id, (first, end)), ids in sorted(repositories.items()):
        series = due_of[series_id].series
        planned = PlannedSeries(
            series_id=series_id, unit=series.unit, value=series.value, first_index=first, end_index=end
        )
        scopes.setdefault(insight_id, {}).setdefault(tuple(ids), []).append(planned)
    found: list[tuple[str, BackfillPlanned]] = []
    for insight_id, by_repositories in scopes.items():
        planned_scopes = [
            PlannedScope(series=lines, repositories=list(ids)) for ids, lines in by_repositories.items()
        ]
        for part in plan_parts(insight_id, planned_scopes, PlanCause.RECORDING_DUE, waited_for):
            said = msgspec.json.encode(part.scopes).decode()
            event_id = derived_event_id("backfill.planned", insight_id, part.cause.value, part.part, said)
            found.append((event_id, part))
    return found


def snapshot_request_id(repository_id: int, pushed_offset: int, split: int = 1) -> str:
    """Id of the request that follows from a push."""
    return derived_event_id("recording.requested", "snapshot", repository_id, pushed_offset, split)


def snapshot_requests(
    repository_id: int,
    target: SnapshotTarget,
    series: Sequence[Owned],
    known: Mapping[str, Base],
    matcher_version: int,
) -> list[RecordingRequest]:
    """The newest state for all of ``series`` in one repository; ``known`` are the snapshots there are, by series.

    Those that show this push already are left out. What has no base (``streams.bases``) is counted whole.
    """
    open_series = [
        one
        for one in series
        if (found := known.get(one.series.series_id)) is None or found.pushed_offset < target.pushed_offset
    ]
    if not open_series:
        return []
    bases = bases_of(((one.series.series_id, one.series.kind) for one in open_series), known, matcher_version)
    asked = [
        msgspec.structs.replace(
            requested(one.series, ()),
            snapshot=True,
            base_value=bases.values.get(one.series.series_id),
        )
        for one in open_series
    ]
    owners = {one.series.series_id: one for one in open_series}
    together = splits(asked)
    found_requests: list[RecordingRequest] = []
    for number, split in enumerate(together, start=1):
        owner = min((owners[one.series_id] for one in split), key=lambda one: one.insight_id)
        whole = any(one.base_value is None for one in split)
        found_requests.append(
            RecordingRequest(
                request_id=snapshot_request_id(repository_id, target.pushed_offset, number),
                repository_id=repository_id,
                insight_id=owner.insight_id,
                creator=owner.creator,
                lane=Lane.SCHEDULED,
                series=split,
                cost=float(NOMINAL_FILES if whole else NOMINAL_CHANGES),
                split=number,
                of=len(together),
                snapshot=msgspec.structs.replace(target, base_commit=bases.commit, base_limits=bases.limits),
            )
        )
    return found_requests
