"""Up to where a generation that shows the past is read."""

from datetime import UTC, datetime, timedelta
from typing import Final

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.settings import Settings
from projections.projection import Projection
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.vectors import Marks, Partition, log_ends
from schemas.envelope import Position

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def ends_until(
    settings: Settings,
    admin: KafkaAdmin,
    one: Projection,
    marks: Marks,
    until: datetime | None,
    until_position: str | None,
) -> dict[Partition, int]:
    """The end of every partition.

    By time: everything appended before ``until``. By position: up to and including that record, and of the other partitions
    what was appended no later than it. Raises RebuildRefused when the log does not hold the record.
    """
    if until_position is None:
        if until is None:
            return log_ends(marks)
        return _before(admin, one, marks, (until - _EPOCH) // _MILLISECOND)
    position = Position.parse(until_position)
    with LogReader(settings) as reader:
        record = reader.read_one(position.topic, position.partition, position.offset)
    if record is None:
        raise RebuildRefused(
            f"the log does not hold {until_position}",
            remedy="Name a record that is there: millstream event ID shows positions.",
        )
    ends = _before(admin, one, marks, record.timestamp_ms + 1)
    return ends | {(position.topic, position.partition): position.offset + 1}


def log_begins(settings: Settings, admin: KafkaAdmin, one: Projection) -> datetime | None:
    """When the oldest record was appended that ``one`` would read; None where there is none."""
    found: list[int] = []
    with LogReader(settings) as reader:
        for (topic, number), at in admin.all_watermarks(topic.value for topic in one.topics).items():
            if at.start < at.end and (record := reader.read_one(topic, number, at.start)) is not None:
                found.append(record.timestamp_ms)
    return _EPOCH + min(found) * _MILLISECOND if found else None


def _before(admin: KafkaAdmin, one: Projection, marks: Marks, timestamp_ms: int) -> dict[Partition, int]:
    ends = log_ends(marks)
    for topic in one.topics:
        for number, offset in admin.offset_at(topic.value, timestamp_ms).items():
            if offset is not None:
                ends[topic.value, number] = offset
    return ends
