"""Does an outside tool see the same lag? Kafka's own ``kafka-consumer-groups`` beside ours, at random moments under load.

    python -m bench.agreement [--moments 20] [--seed N]

A reader that cannot keep up commits as it reads, while records are written. At each moment we look, the tool looks, and we look again: its
offsets have to lie between ours, so that the lags differ at most by what was written and read between the reads. At every second moment
the load is held while all three look: then nothing is between, and the lags have to be equal.
The last line is JSON; the exit code is 1 when a moment disagrees.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import msgspec
from pydantic import SecretStr

from infra.embedded.stack import start
from infra.installation import set_up
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.consumer import LogReader
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.lag.append_times import AppendTimes
from projections.lag.model import PartitionReport
from projections.lag.observe import Observer
from projections.lag.report import Windows, report
from tests.support.outside import Told, Unavailable, describe

PARTITIONS: Final = 4
RATE: Final = 1_000
"""Records written per second."""
READ_SHARE: Final = 0.4
_TICK_S: Final = 0.05


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of one partition."""

    partition: int
    ours: int
    tool: int
    ours_after: int
    between: int
    """Records written or read between our two looks."""
    held: bool
    agrees: bool


@contextmanager
def load(settings: Settings, topic: str, group: str) -> Iterator[threading.Lock]:
    """Writes, and reads more slowly, until the block ends; holds still while somebody has the lock."""
    stop = threading.Event()
    moving = threading.Lock()

    def write() -> None:
        with Publisher(settings) as publisher:
            number = 0
            while not stop.wait(_TICK_S):
                batch = [(topic, str(number + n).encode(), b"x", ()) for n in range(int(RATE * _TICK_S))]
                with moving:
                    publisher.publish_all(batch)
                number += len(batch)

    def read() -> None:
        with LogReader(settings) as reader:
            reader.subscribe([topic], group, on_assigned=lambda places: dict.fromkeys(places, 0))
            most = max(1, int(RATE * _TICK_S * READ_SHARE))
            while not stop.wait(_TICK_S):
                with moving:
                    records = reader.poll(most, 0.01)
                    reader.commit({(one.topic, one.partition): one.offset + 1 for one in records}, wait=True)

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        yield moving
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def compare(settings: Settings, group: str, moving: threading.Lock, moments: int, seed: int) -> list[Moment]:
    """The comparisons of ``moments`` random moments, of every partition that has a committed offset. Raises Unavailable."""
    chance = random.Random(seed)
    database = engine(settings, Role.PROJECTOR, pool_size=1)
    found: list[Moment] = []
    try:
        with KafkaAdmin(settings) as admin, AppendTimes(settings) as times:
            observer = Observer(admin, times)

            def ours() -> dict[int, PartitionReport]:
                with database.connect() as connection:
                    observed = observer.look(connection)
                windows = Windows()
                windows.add(observed)
                told = report(observed, windows, by="bench", took_s=0.0)
                return {
                    one.partition: one
                    for reader in told.groups
                    if reader.group == group
                    for one in reader.partitions
                }

            while len(ours()) < PARTITIONS:
                time.sleep(0.2)
            for moment in range(moments):
                time.sleep(chance.uniform(0.0, 1.0))
                held = moment % 2 == 1
                with moving if held else nullcontext():
                    before = ours()
                    tool = describe(settings.require_kafka(), group)
                    after = ours()
                found += [
                    _moment(before[number], told, after[number], held) for (_, number), told in tool.items()
                ]
    finally:
        database.dispose()
    return found


def _moment(before: PartitionReport, told: Told, after: PartitionReport, held: bool) -> Moment:
    first, last = before.next_offset or 0, after.next_offset or 0
    between = last - first + after.end - before.end
    inside = first <= told.next_offset <= last and before.end <= told.end <= after.end
    return Moment(
        partition=before.partition,
        ours=before.records,
        tool=told.lag,
        ours_after=after.records,
        between=between,
        held=held,
        agrees=inside and abs(told.lag - before.records) <= between and (between == 0 or not held),
    )


def prepared(settings: Settings, topic: str) -> None:
    """The topic to be loaded."""
    with KafkaAdmin(settings) as admin:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1, {"message.timestamp.type": "LogAppendTime"})])


def main() -> None:
    """Run it on a stack of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        home = Path(folder)
        with start(home, report=lambda line: None) as running:
            settings = Settings(
                home=home,
                kafka_bootstrap=running.endpoints.kafka_bootstrap,
                database_url=SecretStr(running.endpoints.database_url),
            )
            set_up(settings)
            prepared(settings, "load")
            try:
                with load(settings, "load", "reader-of-load") as moving:
                    found = compare(settings, "reader-of-load", moving, arguments.moments, arguments.seed)
            except Unavailable as error:
                raise SystemExit(f"cannot compare: {error}") from error
    print(f"{'PARTITION':>9} {'OURS':>8} {'TOOL':>8} {'OURS AFTER':>10} {'BETWEEN':>8}  HELD  AGREES")
    for one in found:
        print(
            f"{one.partition:>9} {one.ours:>8} {one.tool:>8} {one.ours_after:>10} {one.between:>8}  {'yes' if one.held else 'no':4}  {'yes' if one.agrees else 'NO'}"
        )
    disagree = sum(not one.agrees for one in found)
    print(
        json.dumps(
            {
                "moments": arguments.moments,
                "comparisons": len(found),
                "disagree": disagree,
                "held_and_equal": sum(one.held and one.ours == one.tool for one in found),
                "seed": arguments.seed,
                "greatest_lag": max(one.ours_after for one in found),
            }
        )
    )
    sys.exit(1 if disagree else 0)


if __name__ == "__main__":
    main()
