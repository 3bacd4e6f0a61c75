"""Looks at every reader of the log: checkpoints of generations, committed offsets of groups, and the ends of their topics.

Offsets are read before ends, so that lag is never less than it was: too much by what arrived between the two reads at most.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from infra.kafka.admin import GroupDescription, KafkaAdmin, Partition
from infra.topics import PROJECTION_GROUPS
from projections.catalogue import PROJECTIONS
from projections.generations import fits, live_generations
from projections.lag.append_times import AppendTimes, Place
from projections.lag.model import Kind, Member
from projections.lag.states import Sample, State
from projections.projection import Projection
from projections.rebuild.control import RebuildState, rebuilds
from projections.rebuild.listing import carried
from projections.rebuild.machine import OPEN
from projections.runner.checkpoint import State as Declared

OUR_PREFIX: Final = "millstream"
_RETENTION_KNOWN_S: Final = 60.0
_STATES: Final = {
    Declared.NEEDS_UPGRADE: State.NEEDS_UPGRADE,
    Declared.LOG_MISMATCH: State.LOG_MISMATCH,
    Declared.LOG_TRUNCATED: State.LOG_TRUNCATED,
    Declared.FAILED: State.STOP,
}


class Reading(msgspec.Struct, kw_only=True):
    """A group to be looked at, and what it says of itself. ``offsets`` None for a partition: never committed."""

    group: str
    kind: Kind
    name: str
    generation: int | None = None
    latest: bool = True
    offsets: dict[Partition, int | None] = {}
    declared: dict[Partition, tuple[State, str]] = {}
    replaying: str = ""
    outdated: str = ""
    words: str = ""
    readers: int | None = None
    members: dict[Partition, Member] = {}


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One look: groups, and a sample of each of their partitions."""

    at_s: float
    readings: tuple[Reading, ...]
    samples: Mapping[tuple[str, str, int], Sample]
    """(group, topic, partition) -> sample."""


class Observer:
    """Looks again and again. ``admin`` is used by one thread at a time."""

    def __init__(self, admin: KafkaAdmin, times: AppendTimes) -> None:
        self._admin = admin
        self._times = times
        self._retention: dict[str, float | None] = {}
        self._retention_read_s = float("-inf")

    def look(self, connection: Connection) -> Observed:
        """Everything, now. ``connection`` has to be the projector's."""
        groups = self._admin.describe_groups()
        readings = [*_generations(connection, groups), *self._groups(groups)]
        marks = self._admin.all_watermarks(
            {topic for one in readings for topic, _ in one.offsets}
            | {topic.value for projection in PROJECTIONS for topic in projection.topics}
        )
        for one in readings:
            _fill(one, marks)
        at_s = time.time()
        lagging: set[Place] = {
            (topic, number, offset)
            for one in readings
            for (topic, number), offset in one.offsets.items()
            if offset is not None and marks[topic, number].start <= offset < marks[topic, number].end
        }
        appended = self._times.of(lagging)
        retention = self._retention_of({topic for topic, _ in marks})
        samples = {}
        for one in readings:
            for (topic, number), offset in one.offsets.items():
                at = marks[topic, number]
                declared, words = one.declared.get((topic, number), (None, one.words))
                samples[one.group, topic, number] = Sample(
                    at_s=at_s,
                    next_offset=offset,
                    start=at.start,
                    end=at.end,
                    appended_s=None if offset is None else appended.get((topic, number, offset)),
                    readers=one.readers,
                    declared=declared,
                    words=words,
                    replaying=one.replaying,
                    outdated=one.outdated,
                    retention_s=retention.get(topic),
                )
        return Observed(at_s=at_s, readings=tuple(readings), samples=samples)

    def _groups(self, groups: Mapping[str, GroupDescription]) -> list[Reading]:
        """Ours but the projections' (the database rules there), and everybody else's."""
        wanted = {name: found for name, found in groups.items() if not name.startswith(PROJECTION_GROUPS)}
        offsets = self._admin.offsets_of_groups(wanted)
        return [
            Reading(
                group=name,
                kind=Kind.AGENTS if name.startswith(OUR_PREFIX) else Kind.FOREIGN,
                name=name,
                offsets=dict(offsets.get(name, {})),
                readers=_readers(found),
                members=_members(found),
            )
            for name, found in sorted(wanted.items())
        ]

    def _retention_of(self, topics: set[str]) -> Mapping[str, float | None]:
        """Seconds; None: for ever."""
        now_s = time.monotonic()
        if now_s - self._retention_read_s > _RETENTION_KNOWN_S or not topics <= self._retention.keys():
            found = self._admin.describe(sorted(topics))
            self._retention = dict.fromkeys(topics)
            for name, topic in found.items():
                kept_ms = int(topic.settings.get("retention.ms", "-1"))
                expires = kept_ms >= 0 and "delete" in topic.settings.get("cleanup.policy", "")
                self._retention[name] = kept_ms / 1_000 if expires else None
            self._retention_read_s = now_s
        return self._retention


def _generations(connection: Connection, groups: Mapping[str, GroupDescription]) -> list[Reading]:
    """The live generation of every projection, those that are being filled, and those that are kept current."""
    live = live_generations(connection)
    filling = {(one.projection, one.generation): one for one in rebuilds(connection) if one.state in OPEN}
    kept = carried(connection)
    found: list[Reading] = []
    for projection in PROJECTIONS:
        there = live.get(projection.name)
        if there is None:
            found.append(_absent(projection))
            continue
        numbers = {there.number}
        numbers |= {number for name, number in (*filling, *kept) if name == projection.name}
        for number in sorted(numbers):
            schema = f"{projection.name}_g{number}"
            rebuild = filling.get((projection.name, number))
            reading = _reading(connection, projection, number, schema)
            if reading is None:
                continue
            reading.latest = number == there.number or rebuild is not None
            group = groups.get(reading.group)
            reading.readers = 0 if group is None else _readers(group)
            reading.members = {} if group is None else _members(group)
            if rebuild is not None:
                reading.replaying = _rebuilding(rebuild.state, number, rebuild.events, rebuild.of_all)
            elif number == there.number and not fits(projection, there):
                beside = [of for name, of in filling if name == projection.name]
                if beside:
                    reading.replaying = _replaced(beside)
                else:
                    reading.outdated = _outdated(projection, reading.readers)
            found.append(reading)
    return found


def _absent(projection: Projection) -> Reading:
    return Reading(
        group=f"{PROJECTION_GROUPS}{projection.name}",
        kind=Kind.PROJECTION,
        name=projection.name,
        words="nothing was projected yet: start the projector (millstream projector)",
        readers=0,
    )


def _rebuilding(state: RebuildState, number: int, events: int, of_all: int) -> str:
    share = f", {events:,} of {of_all:,} events" if of_all else ""
    return f"generation {number} is being rebuilt ({state.value}{share})"


def _replaced(filling: Iterable[int]) -> str:
    others = ", ".join(str(number) for number in sorted(filling))
    return f"made by another build, and served as it is while generation {others} is rebuilt beside it"


def _outdated(projection: Projection, readers: int | None) -> str:
    """No rebuild is open: it is judged as any other, and may raise an alarm."""
    nobody = "; nobody folds it" if readers == 0 else ""
    return (
        f"built by another version{nobody}; order a rebuild: millstream projection rebuild {projection.name}"
    )


def _reading(connection: Connection, projection: Projection, number: int, schema: str) -> Reading | None:
    """None: the schema went meanwhile, or is not there yet."""
    statement = f'select topic, partition, next_offset, state, state_reason from "{schema}".checkpoints'
    try:
        with connection.begin_nested():
            rows = connection.execute(text(statement)).all()
    except ProgrammingError:
        return None
    reading = Reading(
        group=f"{PROJECTION_GROUPS}{projection.name}.g{number}",
        kind=Kind.PROJECTION,
        name=projection.name,
        generation=number,
    )
    for row in rows:
        place = (row.topic, row.partition)
        reading.offsets[place] = row.next_offset
        if row.state in _STATES:
            reading.declared[place] = (_STATES[row.state], row.state_reason or row.state)
    return reading


def _fill(reading: Reading, marks: Mapping[Partition, object]) -> None:
    """Partitions of topics that are gone are left out; those that a projection will read and has not yet are added."""
    reading.offsets = {place: offset for place, offset in reading.offsets.items() if place in marks}
    if reading.kind is Kind.PROJECTION:
        topics = {topic.value for one in PROJECTIONS if one.name == reading.name for topic in one.topics}
        for place in marks:
            if place[0] in topics:
                reading.offsets.setdefault(place, None)


def _readers(group: GroupDescription) -> int | None:
    if group.members:
        return len(group.members)
    return None if group.is_read else 0


def _members(group: GroupDescription) -> dict[Partition, Member]:
    return {
        place: Member(member_id=one.member_id, client_id=one.client_id, host=one.host)
        for one in group.members
        for place in one.partitions
    }
