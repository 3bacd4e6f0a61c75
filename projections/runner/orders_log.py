"""What operators ordered to be dropped, read from the log itself: for a generation that has no predecessor to ask."""

import time
from typing import Final

import msgspec

from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaError
from infra.settings import Settings
from projections.folding import Folding
from projections.runner.batch import append_time
from projections.runner.guards import Guards, Known
from schemas.codec import decode
from schemas.envelope import Event, Record
from schemas.events import DropOrdered
from schemas.judgement import AggregateState
from schemas.topics import Topic

_TOPIC: Final = Topic.OPERATIONS.value
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.5
_AT_ONCE: Final = 1_000


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is to be left out; ``ordered`` is the order's own offset on ``millstream.operations``."""

    topic: str
    partition: int
    offset: int
    ordered: int


def drops_on_log(settings: Settings, projection: str) -> list[Drop]:
    """Every record that operators ordered ``projection`` to drop, as the log stands. Raises KafkaError."""
    found: list[Drop] = []
    for one in _legal(_foldings(_records(settings))):
        data = one.event.data
        if isinstance(data, DropOrdered) and data.projection == projection:
            ordered = one.position.offset
            found += [
                Drop(topic=at.topic, partition=at.partition, offset=at.offset, ordered=ordered)
                for at in data.records
            ]
    return found


def _records(settings: Settings) -> list[Record]:
    """The whole topic: operators decide seldom."""
    with KafkaAdmin(settings) as admin:
        marks = admin.watermarks(_TOPIC)[0]
    found: list[Record] = []
    if marks.end <= marks.start:
        return found
    deadline_s = time.monotonic() + _TIMEOUT_S
    with LogReader(settings, client_id="millstream-orders") as reader:
        reader.assign({(_TOPIC, 0): marks.start})
        while not found or found[-1].offset + 1 < marks.end:
            found += reader.poll(_AT_ONCE, _POLL_S)
            if time.monotonic() > deadline_s:
                raise KafkaError(
                    f"{_TOPIC} was not read to its end within {_TIMEOUT_S:g} s",
                    remedy="Nothing to do while the broker is slow: the projector tries again.",
                )
    return found


def _foldings(records: list[Record]) -> list[Folding]:
    decoded = [(record, decode(record)) for record in records]
    return [
        Folding(event, record.position, append_time(record))
        for record, event in decoded
        if isinstance(event, Event)
    ]


def _legal(events: list[Folding]) -> list[Folding]:
    """What a fold of the topic would see."""
    guards = Guards(lambda asked: {said: Known(AggregateState(), None) for said in asked})
    refused = guards.judge(events).refused
    return [one for one in events if one.position not in refused]
