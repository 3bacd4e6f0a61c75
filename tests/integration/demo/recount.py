"""The demo's figures computed again, from every record on the topics and from the tables, without the demo's own code."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.postgres.role import Role
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event, Record
from schemas.events import (
    ActionRequested,
    ActionSucceeded,
    BackfillPlanned,
    InsightCreated,
    MonitorCreated,
    RecordingRequested,
    RepositoryPushed,
    SearchCompleted,
    TriggerEvaluated,
    TriggerFired,
    UploadIndexed,
    UploadPublished,
    UploadStateChanged,
)
from schemas.grid import Interval
from schemas.topics import Topic


@dataclass(slots=True)
class Recount:
    """What the topics say about one insight."""

    created: list[str] = field(default_factory=list)
    series: list[str] = field(default_factory=list)
    requests: set[tuple[int, str]] = field(default_factory=set)
    completed: list[tuple[int, str]] = field(default_factory=list)
    files: int = 0
    blobs: int = 0
    counting_s: float = 0.0
    planned_cells: set[tuple[str, int, int]] = field(default_factory=set)
    covered_cells: set[tuple[str, int, int]] = field(default_factory=set)
    values: dict[tuple[str, datetime], int] = field(default_factory=lambda: defaultdict(int))
    """(series, frame) -> sum over all repositories, of covered cells."""


def every_record(settings: Settings, topic: Topic) -> list[Record]:
    """The whole topic, by partition and offset."""
    with KafkaAdmin(settings) as admin, LogReader(settings) as reader:
        marks = admin.watermarks(topic)
        reader.assign({(topic, partition): mark.start for partition, mark in marks.items()})
        left = sum(mark.end - mark.start for mark in marks.values())
        records: list[Record] = []
        while len(records) < left:
            found = reader.poll(1_000, 20.0)
            assert found, f"{len(records)} of {left} records of {topic} came"
            records += found
    return sorted(records, key=lambda record: (record.partition, record.offset))


def recount(settings: Settings, insight_id: int) -> Recount:
    """Read the topics from their start to their end."""
    told = Recount()
    for topic in (Topic.INSIGHTS, Topic.RECORDINGS, Topic.RESULTS):
        for record in every_record(settings, topic):
            event = decode(record)
            assert isinstance(event, Event), event
            _take(told, event, record, insight_id)
    return told


def _take(told: Recount, event: Event, record: Record, insight_id: int) -> None:
    data = event.data
    if isinstance(data, InsightCreated) and data.insight_id == insight_id:
        told.created.append(str(record.position))
        told.series = [series.series_id for series in data.series]
    elif isinstance(data, BackfillPlanned) and data.insight_id == insight_id:
        for scope in data.scopes:
            for series in scope.series:
                for repository in scope.repositories:
                    told.planned_cells |= {
                        (series.series_id, repository, index)
                        for index in range(series.first_index, series.end_index)
                    }
    elif isinstance(data, RecordingRequested) and data.request.insight_id == insight_id:
        if not any(series.frames for series in data.request.series):
            return  # of the present: what a push moved
        told.requests.add((data.request.repository_id, data.request.request_id))
    elif isinstance(data, SearchCompleted) and data.insight_id == insight_id:
        if not any(result.covered for result in data.series):
            return
        told.completed.append((data.repository_id, data.request_id))
        told.files += data.statistics.files
        told.blobs += data.statistics.blobs
        told.counting_s += data.statistics.duration_s
        for result in data.series:
            grid = Interval(result.unit, result.value)
            for first, end in result.covered:
                for index in range(first, end):
                    told.covered_cells.add((result.series_id, data.repository_id, index))
                    told.values[result.series_id, grid.instant(index)] += 0
            for index, value in zip(result.indexes, result.values, strict=True):
                told.values[result.series_id, grid.instant(index)] += value


def table_values(settings: Settings, series: list[str]) -> dict[tuple[str, datetime], int]:
    """(series, frame) -> sum, of the rows of the live generation of ``series_points``; zeros have no rows."""
    with psycopg.connect(settings.dsn(Role.ADMIN)) as connection:
        live = connection.execute(
            "select schema_name from runtime.generations where projection = 'series_points'"
        ).fetchall()
        assert len(live) == 1, live
        rows = connection.execute(
            f'select series_id, time, sum(value) from "{live[0][0]}".series_points where series_id = any(%s) group by 1, 2',
            (series,),
        ).fetchall()
    return {(series_id, time): int(value) for series_id, time, value in rows}


@dataclass(slots=True)
class Told:
    """What the topics say about one delivery and one upload: (type, position), in the order of the broker."""

    delivery: list[tuple[str, str]] = field(default_factory=list)
    pushed_tip: str | None = None
    results: list[str] = field(default_factory=list)
    """Commits that the evaluated run found."""
    upload: list[tuple[str, str]] = field(default_factory=list)
    published_commit: str = ""
    monitors: set[int] = field(default_factory=set)
    """Every monitor that was ever created."""


def told_of(settings: Settings, delivery_id: str, upload_id: int) -> Told:
    """Read what lies on the topics of monitors, runs, work and uploads; the way back from a delivery is that of the causes."""
    topics = (Topic.MONITORS, Topic.TRIGGERS, Topic.WORK_INTERACTIVE, Topic.REPOSITORIES, Topic.UPLOADS)
    records = [record for topic in topics for record in every_record(settings, topic)]
    records.sort(key=lambda record: (record.timestamp_ms, record.topic, record.partition, record.offset))
    events: dict[str, tuple[Event, Record]] = {}
    for record in records:
        event = decode(record)
        assert isinstance(event, Event), event
        events.setdefault(event.id, (event, record))
    found = Told()
    on_the_way = {
        event.id
        for event, _ in events.values()
        if isinstance(event.data, ActionRequested) and event.data.delivery_id == delivery_id
    }
    assert len(on_the_way) == 1, "one delivery is asked for once"
    on_the_way |= {
        event.id
        for event, _ in events.values()
        if isinstance(event.data, ActionSucceeded) and event.causation_id in on_the_way
    }
    before = 0
    while len(on_the_way) > before:
        before = len(on_the_way)
        on_the_way |= {
            event.causation_id
            for name in list(on_the_way)
            for event in [events[name][0]]
            if event.causation_id in events
        }  # fmt: skip
    moments = {
        event.data.moment for event, _ in events.values() if event.id in on_the_way and isinstance(event.data, TriggerEvaluated)
    }  # fmt: skip
    for event, record in events.values():
        place = (event.type.name.removeprefix("millstream."), str(record.position))
        data = event.data
        fired = isinstance(data, TriggerFired) and data.moment in moments and event.causation_id in on_the_way
        if event.id in on_the_way or fired:
            found.delivery.append(place)
        if event.id in on_the_way and isinstance(data, RepositoryPushed):
            found.pushed_tip = data.tip
        if event.id in on_the_way and isinstance(data, TriggerEvaluated):
            found.results = [one.commit for outcome in data.outcomes for one in outcome.results]
        if isinstance(data, MonitorCreated):
            found.monitors.add(data.monitor_id)
        if (
            isinstance(data, UploadStateChanged | UploadIndexed | UploadPublished)
            and data.upload_id == upload_id
        ):
            found.upload.append(place)
            if isinstance(data, UploadPublished):
                found.published_commit = data.commit
    return found
