"""What a log has to come to: a small model of its own, which shares no rule and no fold with the product."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from schemas.codec import decode
from schemas.envelope import Event, Record
from schemas.events import (
    BackfillPaused,
    BackfillResumed,
    InsightCreated,
    InsightDeleted,
    RecordingRequested,
    RepositoryPushed,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    SearchCompleted,
    SearchFailed,
    SettingsChanged,
)

Place = tuple[str, int, int]
"""(topic, partition, offset)."""
Cell = tuple[str, int, int]
"""(series id, repository id, grid index)."""
ABSENT, LIVE, GONE = "absent", "live", "gone"
_CREATES: Final = (RepositoryRegistered, InsightCreated, SettingsChanged)
_ENDS: Final = (RepositoryRemoved, InsightDeleted)


class Verdict(NamedTuple):
    """``version`` when accepted, ``of`` (an offset) when a duplicate."""

    outcome: str
    version: int | None
    of: int | None


class Job(msgspec.Struct):
    """A request as its row has to be."""

    requested: bool = False
    completed: bool = False
    failed: bool = False
    """Finally: what the greatest failed attempt said."""
    failed_attempt: int = 0


class Model(msgspec.Struct):
    """Everything that a history of ``tests.support.history`` comes to."""

    verdicts: dict[Place, Verdict] = msgspec.field(default_factory=dict)
    versions: dict[tuple[str, str], int] = msgspec.field(default_factory=lambda: defaultdict(int))
    repositories: dict[int, tuple[str, bool]] = msgspec.field(default_factory=dict)
    tips: dict[int, str | None] = msgspec.field(default_factory=dict)
    insights: dict[int, tuple[str, bool]] = msgspec.field(default_factory=dict)
    settings: dict[str, float | None] = msgspec.field(default_factory=dict)
    jobs: dict[tuple[int, str], Job] = msgspec.field(default_factory=lambda: defaultdict(Job))
    cells: dict[Cell, tuple[tuple[int, int, int], int]] = msgspec.field(default_factory=dict)
    dead: set[Place] = msgspec.field(default_factory=set)

    @property
    def points(self) -> Mapping[Cell, int]:
        """Cells that are not zero."""
        return {cell: value for cell, (_, value) in self.cells.items() if value}


def model_of(records: Iterable[Record]) -> Model:
    """Read every partition in order; the order of partitions does not matter."""
    model = Model()
    life: dict[tuple[str, str], str] = {}
    accepted: dict[tuple[str, str, str, str], int] = {}
    for record in records:
        place = (record.topic, record.partition, record.offset)
        event = decode(record)
        if not isinstance(event, Event):
            model.dead.add(place)
        elif not event.type.guarded:
            _apply(model, event)
        else:
            verdict = _judge(model, life, accepted, record, event)
            model.verdicts[place] = verdict
            if verdict.outcome == "ACCEPTED":
                _apply(model, event)
    return model


def _judge(
    model: Model,
    life: dict[tuple[str, str], str],
    accepted: dict[tuple[str, str, str, str], int],
    record: Record,
    event: Event,
) -> Verdict:
    aggregate = (record.topic, event.key)
    said = (*aggregate, event.source, event.id)
    if said in accepted:
        return Verdict("DUPLICATE", None, accepted[said])
    now = life.get(aggregate, ABSENT)
    if event.expected_version is not None and event.expected_version != model.versions[aggregate]:
        return Verdict("REJECTED", None, None)
    creates = isinstance(event.data, _CREATES)
    once = isinstance(event.data, InsightCreated)
    if (creates and once and now != ABSENT) or (not creates and now != LIVE):
        return Verdict("REJECTED", None, None)
    life[aggregate] = GONE if isinstance(event.data, _ENDS) else LIVE
    accepted[said] = record.offset
    model.versions[aggregate] += 1
    return Verdict("ACCEPTED", model.versions[aggregate], None)


def _apply(model: Model, event: Event) -> None:
    match event.data:
        case RepositoryRegistered() as data:
            model.repositories[data.repository_id] = (data.name, False)
        case RepositoryRenamed() as data:
            model.repositories[data.repository_id] = (data.name, False)
        case RepositoryRemoved() as data:
            model.repositories[data.repository_id] = (model.repositories[data.repository_id][0], True)
        case RepositoryPushed() as data:
            model.tips[data.repository_id] = data.tip
        case InsightCreated() as data:
            model.insights[data.insight_id] = (data.title, False)
        case InsightDeleted() as data:
            model.insights[data.insight_id] = (model.insights[data.insight_id][0], True)
        case BackfillPaused() | BackfillResumed():
            pass
        case SettingsChanged() as data:
            model.settings[data.key] = data.value
        case RecordingRequested() as data:
            model.jobs[data.request.repository_id, data.request.request_id].requested = True
        case SearchCompleted() as data:
            model.jobs[data.repository_id, data.request_id].completed = True
            _count(model, data)
        case SearchFailed() as data:
            job = model.jobs[data.repository_id, data.request_id]
            if data.attempt > job.failed_attempt:
                job.failed, job.failed_attempt = data.final, data.attempt
        case _:
            pass


def _count(model: Model, data: SearchCompleted) -> None:
    for one in data.series:
        counted = dict(zip(one.indexes, one.values, strict=True))
        cells = [
            (index, 1, counted.get(index, 0)) for start, end in one.covered for index in range(start, end)
        ]
        cells += [(hole.index, 0, hole.value) for hole in one.incomplete]
        for index, complete, value in cells:
            rank = (data.matcher_version, complete, data.attempt)
            cell = (one.series_id, data.repository_id, index)
            if cell not in model.cells or rank > model.cells[cell][0]:
                model.cells[cell] = (rank, value)
