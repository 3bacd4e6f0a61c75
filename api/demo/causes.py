"""What happened since a moment, and which events led to one of them: told by the topics alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from api.demo.chain import until
from infra.kafka.admin import KafkaAdmin
from infra.kafka.consumer import LogReader
from infra.settings import Settings
from schemas.codec import decode
from schemas.envelope import Event, Position
from schemas.events import (
    ActionRequested,
    ActionSucceeded,
    TriggerDispatched,
    TriggerFired,
    UploadIndexed,
    UploadPublished,
    UploadStateChanged,
)
from schemas.topics import Topic

TOPICS: Final = (Topic.REPOSITORIES, Topic.TRIGGERS, Topic.WORK_INTERACTIVE, Topic.UPLOADS)
"""Where the events lie that a commit causes at a monitor, and those of an upload."""
_PREFIX: Final = "millstream."
_CLIENT: Final = "millstream-demo"

Mark = Mapping[tuple[str, int], int]
"""(topic, partition) -> the next offset to be written at some moment."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a chain: its type without the prefix, where it lies, and of an upload where it went."""

    event: str
    position: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.event} {self.detail}" if self.detail else self.event


@dataclass(frozen=True, slots=True)
class Seen:
    """An event, where it lies, and when the broker took it."""

    event: Event
    position: Position
    timestamp_ms: int


def mark(admin: KafkaAdmin) -> dict[tuple[str, int], int]:
    """The ends of the topics now."""
    return {
        (str(topic), partition): marks.end
        for topic in TOPICS
        for partition, marks in admin.watermarks(topic).items()
    }


def since(settings: Settings, began: Mark) -> list[Seen]:
    """Every event on the topics since then, the oldest first. Raises KafkaError, with the remedy."""
    with KafkaAdmin(settings, client_id=_CLIENT) as admin:
        ends = mark(admin)
    with LogReader(settings, client_id=_CLIENT) as reader:
        places = {place: (began.get(place, 0), end) for place, end in ends.items()}
        found = [
            Seen(event, record.position, record.timestamp_ms)
            for record in until(reader, places)
            if isinstance(event := decode(record), Event)
        ]
    return sorted(found, key=lambda one: (one.timestamp_ms, one.position))


def of_delivery(seen: Iterable[Seen], delivery_id: str) -> list[Link]:
    """From the push to the success of a delivery, by the causes that events name. Pure.

    ``trigger.fired`` says that the run began; what is evaluated was asked for by its twin ``trigger.dispatched``: both have one cause.
    """
    by_id: dict[str, Seen] = {}
    for one in seen:
        by_id.setdefault(one.event.id, one)
    requested = {
        one.event.id
        for one in by_id.values()
        if isinstance(one.event.data, ActionRequested) and one.event.data.delivery_id == delivery_id
    }
    last = next(
        (
            one
            for one in by_id.values()
            if isinstance(one.event.data, ActionSucceeded) and one.event.causation_id in requested
        ),
        None,
    )
    chain: list[Seen] = []
    while last is not None and last not in chain:
        chain.insert(0, last)
        data = last.event.data
        if isinstance(data, TriggerDispatched):
            chain[:0] = _fired(by_id.values(), data, last.event.causation_id)
        last = by_id.get(last.event.causation_id or "")
    return [_link(one) for one in chain]


def of_upload(seen: Iterable[Seen], upload_id: int) -> list[Link]:
    """The life of an upload, as its partition has it. Pure."""
    ids: set[str] = set()
    found: list[Link] = []
    for one in seen:
        match one.event.data:
            case UploadStateChanged(upload_id=owner, to_state=state) if owner == upload_id:
                detail = f"to {state.value}"
            case UploadIndexed(upload_id=owner) | UploadPublished(upload_id=owner) if owner == upload_id:
                detail = ""
            case _:
                continue
        if one.event.id not in ids:
            found.append(_link(one, detail))
        ids.add(one.event.id)
    return found


def _fired(seen: Iterable[Seen], asked: TriggerDispatched, cause: str | None) -> list[Seen]:
    monitors = {run.monitor_id for run in asked.runs}
    return [
        one
        for one in seen
        if isinstance(data := one.event.data, TriggerFired)
        and one.event.causation_id == cause
        and (data.repository_id, data.moment) == (asked.repository_id, asked.moment)
        and monitors & {run.monitor_id for run in data.runs}
    ]


def _link(one: Seen, detail: str = "") -> Link:
    return Link(event=one.event.type.name.removeprefix(_PREFIX), position=str(one.position), detail=detail)
