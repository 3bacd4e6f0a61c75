"""Deleting the head of a topic that may be cut: what would go, and which readers have not passed it. Looks, then does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy import Connection, text

from infra.kafka.admin import Partition, Watermarks
from infra.topics import PROJECTION_GROUPS, TopicSpec
from projections.catalogue import PROJECTIONS
from projections.generations import live_generations
from schemas.errors import MillstreamError


class DeletionRefused(MillstreamError):
    """These records are not deleted."""


class Cluster(Protocol):
    """What is needed of ``infra.kafka.admin.KafkaAdmin``."""

    def groups(self) -> set[str]: ...
    def offsets_of_groups(self, groups: Sequence[str]) -> dict[str, dict[Partition, int]]: ...
    def watermarks(self, topic: str) -> dict[int, Watermarks]: ...
    def offset_at(self, topic: str, timestamp_ms: int) -> dict[int, int | None]: ...
    def delete_records(self, starts: Mapping[Partition, int]) -> None: ...


class Reader(msgspec.Struct, frozen=True):
    """Who has still to read something: the next offset that it reads."""

    name: str
    next_offset: int


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: it would begin at ``to``. ``behind`` have not passed that yet."""

    partition: int
    start: int
    end: int
    to: int
    behind: tuple[Reader, ...] = ()

    @property
    def records(self) -> int:
        """How many would go; offsets left out by transactions count too."""
        return self.to - self.start


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What deleting would do."""

    topic: str
    cuts: list[Cut]

    @property
    def records(self) -> int:
        return sum(cut.records for cut in self.cuts)


def rehearse(
    cluster: Cluster,
    connection: Connection,
    specs: Sequence[TopicSpec],
    topic: str,
    before: datetime | int,
    partition: int | None = None,
) -> Rehearsal:
    """Look only. ``before``: records appended before this time, or with offsets below this number.

    Raises DeletionRefused (no topic of ours, a topic of truth, no such partition), TopicMissing, KafkaError.
    """
    spec = next((one for one in specs if one.name == topic), None)
    if spec is None:
        raise DeletionRefused(f"Millstream has no topic {topic}", remedy="millstream topics list")
    if spec.is_truth:
        finite = ", ".join(str(one.name) for one in specs if not one.is_truth)
        raise DeletionRefused(
            f"{topic} is a topic of truth: the projections are rebuilt from it, so nothing of it is ever deleted",
            remedy=f"Only these may be cut: {finite}.",
        )
    marks = cluster.watermarks(topic)
    if partition is not None and partition not in marks:
        raise DeletionRefused(
            f"{topic} has no partition {partition}", remedy=f"There are 0 to {len(marks) - 1}."
        )
    wanted = {number: at for number, at in marks.items() if partition in (None, number)}
    limits = _limits(cluster, topic, wanted, before)
    readers = _readers(cluster, connection, topic, marks)
    return Rehearsal(
        topic=topic,
        cuts=[
            Cut(
                partition=number,
                start=at.start,
                end=at.end,
                to=limits[number],
                behind=tuple(
                    reader
                    for reader in readers.get(number, ())
                    if reader.next_offset < limits[number] and limits[number] > at.start
                ),
            )
            for number, at in sorted(wanted.items())
        ],
    )


def delete(cluster: Cluster, rehearsed: Rehearsal) -> None:
    """Do it. Raises DeletionRefused while a reader has not passed what would go."""
    for cut in rehearsed.cuts:
        if cut.behind:
            names = ", ".join(f"{one.name} (at {one.next_offset})" for one in cut.behind)
            raise DeletionRefused(
                f"{rehearsed.topic}/{cut.partition} is not cut at {cut.to}: {names} has not read up to there",
                remedy="Wait until it has (millstream lag), or name an earlier time or offset.",
            )
    cluster.delete_records(
        {(rehearsed.topic, cut.partition): cut.to for cut in rehearsed.cuts if cut.records}
    )


def _limits(
    cluster: Cluster, topic: str, marks: Mapping[int, Watermarks], before: datetime | int
) -> dict[int, int]:
    """Where each partition would begin, never before its start nor behind its end."""
    if isinstance(before, int):
        wanted: Mapping[int, int | None] = dict.fromkeys(marks, before)
    else:
        wanted = cluster.offset_at(topic, int(before.timestamp() * 1000))
    found: dict[int, int] = {}
    for number, at in marks.items():
        limit = wanted.get(number)
        found[number] = at.end if limit is None else min(max(limit, at.start), at.end)
    return found


def _readers(
    cluster: Cluster, connection: Connection, topic: str, marks: Mapping[int, Watermarks]
) -> dict[int, list[Reader]]:
    """By partition: projections by their live checkpoints, other groups by what they committed.

    A group that reads the topic and has committed nothing on a partition has all of it before it.
    """
    found: dict[int, list[Reader]] = {}
    live = live_generations(connection)
    for one in PROJECTIONS:
        generation = live.get(one.name)
        if generation is None or topic not in {each.value for each in one.topics}:
            continue
        rows = connection.execute(
            text(
                f'select partition, next_offset from "{generation.schema_name}".checkpoints where topic = :topic'
            ),
            {"topic": topic},
        )
        for number, next_offset in rows:
            found.setdefault(number, []).append(Reader(f"projection {one.name}", next_offset))
    groups = sorted(name for name in cluster.groups() if not name.startswith(PROJECTION_GROUPS))
    for group, offsets in sorted(cluster.offsets_of_groups(groups).items()):
        if any(name == topic for name, _ in offsets):
            for number, at in sorted(marks.items()):
                next_offset = offsets.get((topic, number), at.start)
                found.setdefault(number, []).append(Reader(f"group {group}", next_offset))
    return found
