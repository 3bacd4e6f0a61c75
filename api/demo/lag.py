"""How far the projections are behind the log: in records, and in seconds by the broker's append time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from api.demo.questions import AsOf
from infra.kafka.admin import KafkaAdmin

Ends = Mapping[tuple[str, int], int]
"""(topic, partition) -> the next offset to be written."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Records that are on the log and not applied, summed over all projections, and the age of the slowest one."""

    records: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.records:,} record{'' if self.records == 1 else 's'} ({self.seconds:.1f} s)"


def log_ends(admin: KafkaAdmin, as_of: Iterable[AsOf]) -> dict[tuple[str, int], int]:
    """The ends of every topic that some projection reads."""
    topics = {position.topic for projection in as_of for position in projection.positions}
    return {
        (topic, partition): marks.end
        for topic in sorted(topics)
        for partition, marks in admin.watermarks(topic).items()
    }


def measure(as_of: Iterable[AsOf], ends: Ends, now: datetime) -> Lag:
    """The lag of these projections against those ends. Pure.

    The seconds are zero when nothing is behind, else the time since the append of the last record that the slowest
    partition has applied.
    """
    records, oldest = 0, now
    for projection in as_of:
        for position in projection.positions:
            behind = ends.get((position.topic, position.partition), 0) - int(position.next_offset)
            if behind > 0:
                records += behind
                oldest = min(oldest, (position.append_time or now).astimezone(UTC))
    return Lag(records, max(0.0, (now - oldest).total_seconds()))
