"""Finds what floods a projection: records on the log behind its checkpoints that are no events."""

import time
from collections.abc import Mapping
from typing import Final

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaError
from infra.settings import Settings
from projections.projection import Projection
from projections.runner.decoders import DECODERS
from schemas.codec import Undecodable
from schemas.events import RecordPlace

Partition = tuple[str, int]
"""(topic, partition)."""
MOST: Final = 100_000
"""Found at once: what is behind them is found by the next look."""
_SILENCE_S: Final = 30.0
_POLL_S: Final = 0.5
_AT_ONCE: Final = 2_000


def no_events(
    settings: Settings, projection: Projection, passed: Mapping[Partition, int]
) -> list[RecordPlace]:
    """Records from the offsets ``passed`` to the present ends that this build cannot decode, at most ``MOST``.

    Raises KafkaError.
    """
    with KafkaAdmin(settings) as admin:
        ends = {
            (topic.value, number): marks.end
            for topic in projection.topics
            for number, marks in admin.watermarks(topic.value).items()
        }
    left = {at: passed[at] for at in ends if at in passed and passed[at] < ends[at]}
    found: list[RecordPlace] = []
    decode = DECODERS[projection.decoding]
    heard_s = time.monotonic()
    with LogReader(settings, client_id="millstream-flood") as reader:
        if left:
            reader.assign(dict(left))
        while left and len(found) < MOST:
            for record in reader.poll(_AT_ONCE, _POLL_S):
                heard_s = time.monotonic()
                at = (record.topic, record.partition)
                if at not in left:
                    continue
                if isinstance(decode(record), Undecodable):
                    found.append(
                        RecordPlace(topic=record.topic, partition=record.partition, offset=record.offset)
                    )
                if record.offset + 1 >= ends[at]:
                    del left[at]
            if time.monotonic() - heard_s > _SILENCE_S:
                raise KafkaError(
                    f"the broker gave nothing for {_SILENCE_S:g} s",
                    remedy="See that Kafka runs (millstream stack status), then try again.",
                )
    return found
