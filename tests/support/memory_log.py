"""A log in memory that gives its records in a random interleaving, cut at random; partition order is kept.

It stands where the intake meets Kafka, so that append times and interleavings can be chosen; everything behind is the runner's own.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import pytest

from infra.kafka.admin import Watermarks
from infra.settings import Settings
from projections.runner import again, intake, orders_log
from projections.verification import replay as replaying
from schemas.envelope import Record
from tests.support.histories import Log, Partition, watermarks

CLUSTER_ID = "cluster-of-the-test"


class MemoryAdmin:
    """What the intake asks about the cluster."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cluster_id(self) -> str:
        return CLUSTER_ID

    def topic_id(self, topic: str) -> bytes:
        return topic.encode().ljust(16, b"\0")[-16:]

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        return watermarks(self._log, topic)


class MemoryReader:
    """What the intake reads through: every poll gives a few records of a few partitions."""

    def __init__(self, log: Log, random_: random.Random, most: int) -> None:
        self._log = log
        self._random = random_
        self._most = most
        self._next: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def assign(self, next_offsets: Mapping[Partition, int]) -> None:
        self._next = dict(next_offsets)

    def pause(self, partitions: Iterable[Partition]) -> None:
        self._paused |= set(partitions)

    def commit(self, next_offsets: Mapping[Partition, int], *, wait: bool = False) -> None:
        pass

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        found: list[Record] = []
        wanted = self._random.randrange(0, min(max_records, self._most) + 1)
        while len(found) < wanted:
            left = [
                place
                for place, offset in self._next.items()
                if place not in self._paused and offset < len(self._log[place])
            ]
            if not left:
                time.sleep(0.0 if found else min(timeout_s, 0.005))
                break
            place = self._random.choice(left)
            number = self._random.randrange(1, self._most // 8 + 2)
            offset = self._next[place]
            records = self._log[place][offset : offset + number]
            self._next[place] += len(records)
            found += records
        return found[:max_records] if len(found) <= max_records else self._give_back(found, max_records)

    def _give_back(self, found: list[Record], max_records: int) -> list[Record]:
        for one in reversed(found[max_records:]):
            self._next[one.topic, one.partition] = one.offset
        return found[:max_records]


@contextmanager
def reading_from(log: Log, seed: int, *, most: int) -> Iterator[None]:
    """The intake of this process reads ``log`` as ``seed`` shuffles it, at most ``most`` records at a time."""

    def reader(settings: Settings, **options: object) -> MemoryReader:
        return MemoryReader(log, random.Random(seed), most)

    with pytest.MonkeyPatch.context() as patch:
        for module in (intake, orders_log, again):
            patch.setattr(module, "LogReader", reader)
        for module in (intake, orders_log):
            patch.setattr(module, "KafkaAdmin", lambda settings: MemoryAdmin(log))
        patch.setattr(replaying, "_LINGER_S", 0.0)  # a batch is what one poll gave
        yield
