"""Checkpoint rows: claimed with a new epoch, moved by compare-and-set in the transaction that writes the rows.

The statements name no schema: the connection has the generation's schema as its search path.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
import psycopg

from infra.kafka.admin import Watermarks
from projections.projection import Cursor
from projections.runner import faults
from projections.runner.errors import Fenced

Partition = tuple[str, int]
"""(topic, partition)."""
Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


class State(StrEnum):
    """What a partition's reader does."""

    RUNNING = "RUNNING"
    NEEDS_UPGRADE = "NEEDS_UPGRADE"
    LOG_MISMATCH = "LOG_MISMATCH"
    LOG_TRUNCATED = "LOG_TRUNCATED"
    FAILED = "FAILED"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far one partition is folded, and by which log. ``next_offset`` is the next to read."""

    topic: str
    partition: int
    cluster_id: str
    topic_id: bytes
    epoch: int
    next_offset: int
    last_offset: int | None
    last_crc32: int | None
    last_append_time: datetime | None = None
    """The newest one applied: the partition's clock."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's step: from where a batch was fetched to the next offset to read."""

    topic: str
    partition: int
    epoch: int
    fetched_from: int
    next_offset: int
    last_offset: int
    last_crc32: int
    last_append_time: datetime


ENSURE: Final = """
insert into checkpoints (topic, partition, cluster_id, topic_id, next_offset)
select * from unnest(%s::text[], %s::int[], %s::text[], %s::bytea[], %s::bigint[])
order by 1, 2 on conflict do nothing
"""
"""A new checkpoint starts at the log start as it is now."""

CLAIM: Final = """
with claimed as (
  select c.topic, c.partition from checkpoints c
  join unnest(%s::text[], %s::int[]) as k(topic, partition) on k.topic = c.topic and k.partition = c.partition
  order by c.topic, c.partition for update of c
)
update checkpoints c set epoch = c.epoch + 1, state = 'RUNNING', state_reason = null
from claimed where claimed.topic = c.topic and claimed.partition = c.partition
returning c.topic, c.partition, c.cluster_id, c.topic_id, c.epoch, c.next_offset, c.last_offset, c.last_crc32,
          c.last_append_time
"""
"""A new epoch fences whoever wrote these partitions until now."""

_STEP: Final = """
update checkpoints c
set next_offset = m.next_offset, last_offset = m.last_offset, last_crc32 = m.last_crc32,
    last_append_time = m.last_append_time, applied_at = clock_timestamp()
from unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::timestamptz[])
  as m(topic, partition, epoch, fetched_from, next_offset, last_offset, last_crc32, last_append_time)
where c.topic = m.topic and c.partition = m.partition
"""
MOVE: Final = f"{_STEP} and c.epoch = m.epoch and c.next_offset = m.fetched_from"
"""The compare-and-set: the epoch is mine, and the checkpoint *equals* where I fetched from."""

MARK: Final = """
update checkpoints set state = %s, state_reason = %s where topic = %s and partition = %s and epoch = %s
"""

REBASE: Final = """
update checkpoints set next_offset = %s, last_offset = null, last_crc32 = null
where topic = %s and partition = %s and epoch = %s
"""
"""Only for a topic whose records expire and feed bookkeeping alone."""


def ensure(
    connection: Connection,
    cluster_id: str,
    topic_ids: Mapping[str, bytes],
    watermarks: Mapping[str, Mapping[int, Watermarks]],
) -> None:
    """A row for every partition of these topics that has none yet."""
    rows = [
        (topic, partition, cluster_id, topic_ids[topic], marks.start)
        for topic, partitions in sorted(watermarks.items())
        for partition, marks in sorted(partitions.items())
    ]
    if rows:
        connection.execute(ENSURE, [list(column) for column in zip(*rows, strict=True)])


def claim(connection: Connection, partitions: Iterable[Partition]) -> dict[Partition, Checkpoint]:
    """Take these partitions over: each row's epoch grows by one. Every partition has to have a row."""
    wanted = sorted(partitions)
    cursor = connection.execute(CLAIM, ([topic for topic, _ in wanted], [number for _, number in wanted]))
    rows = [
        msgspec.convert(
            dict(zip(Checkpoint.__struct_fields__, row, strict=True)),
            Checkpoint,
            builtin_types=(bytes, datetime),
        )
        for row in cursor
    ]
    return {(row.topic, row.partition): row for row in rows}


def move(cursor: Cursor, moves: Sequence[Move]) -> None:
    """Move the checkpoints. Raises Fenced when any of them is not where the batch was fetched from."""
    ordered = sorted(moves, key=lambda step: (step.topic, step.partition))
    columns = [
        [getattr(step, name) for step in ordered]
        for name in (
            "topic",
            "partition",
            "epoch",
            "fetched_from",
            "next_offset",
            "last_offset",
            "last_crc32",
            "last_append_time",
        )
    ]
    cursor.execute(_STEP if faults.has(faults.Bug.NO_FENCING) else MOVE, columns)
    if cursor.rowcount != len(ordered):
        raise Fenced(
            f"{len(ordered) - cursor.rowcount} of {len(ordered)} checkpoints are not where this batch was fetched from",
            remedy="Nothing to do: the worker begins again at the checkpoint.",
        )


def mark(connection: Connection, partition: Partition, epoch: int, state: State, reason: str) -> None:
    """Say why a partition stands still, unless somebody else has it by now."""
    connection.execute(MARK, (state.value, reason, *partition, epoch))


def rebase(connection: Connection, checkpoint: Checkpoint, start: int) -> Checkpoint:
    """Go on at the log start ``start`` where what was missed feeds bookkeeping alone."""
    connection.execute(REBASE, (start, checkpoint.topic, checkpoint.partition, checkpoint.epoch))
    return msgspec.structs.replace(checkpoint, next_offset=start, last_offset=None, last_crc32=None)
