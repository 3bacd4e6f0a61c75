"""What is past a horizon goes by the clock of its own partition, however the log is cut."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from projections.folding import Folding
from projections.projection import Cursor, Write
from projections.runner.batch import Batch, Collector
from projections.runner.horizon import Clock, Horizon
from schemas.envelope import Record

HOUR_MS = 3_600_000
KEEP = Horizon(48 * HOUR_MS, ("events",))
START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


def _record(partition: int, offset: int, at_ms: int) -> Record:
    return Record("t", partition, offset, START_MS + at_ms, b"k", b"v", ())


class Rows:
    """A table that is written as the runner writes one: first the rows of a batch, then its removals."""

    def __init__(self, clocks: dict[tuple[str, int], datetime | None] | None = None) -> None:
        self.kept: set[tuple[int, int, datetime]] = set()
        self.removals = 0
        self._batch: list[Record] = []
        self.collector = Collector(self._prepare, lambda moves: [], decode=lambda record: None, horizon=KEEP)
        self.collector.assign({("t", 0): (1, 0), ("t", 1): (1, 0)}, clocks or {})

    @staticmethod
    def _prepare(events: Sequence[Folding]) -> Write:
        def write(cursor: Cursor) -> int:
            return 0

        return write

    def write(self, records: Sequence[Record]) -> Batch:
        self.collector.add(records)
        batch = self.collector.take()
        self.kept |= {(one.partition, one.offset, _at(one)) for one in records}
        for removal in batch.removals:
            assert removal.tables == ("events",)
            self.removals += 1
            self.kept = {row for row in self.kept if row[0] != removal.partition or row[2] >= removal.before}
        return batch


def _at(record: Record) -> datetime:
    return START + timedelta(milliseconds=record.timestamp_ms - START_MS)


def _log(random_: random.Random) -> list[Record]:
    """Two partitions over ten days; the broker's clock steps back now and then."""
    found: list[Record] = []
    for partition in (0, 1):
        at_ms = 0
        for offset in range(200):
            at_ms += random_.choice((0, 1_000, HOUR_MS, 3 * HOUR_MS))
            back_ms = random_.choice((0, 0, 0, 5_000, 60 * HOUR_MS))
            found.append(_record(partition, offset, max(0, at_ms - back_ms)))
    return found


def _interleaved(log: list[Record], random_: random.Random) -> list[Record]:
    left = {partition: [one for one in log if one.partition == partition] for partition in (0, 1)}
    order: list[Record] = []
    while any(left.values()):
        partition = random_.choice([number for number in left if left[number]])
        order.append(left[partition].pop(0))
    return order


def test_the_rows_at_one_vector_do_not_depend_on_cuts_and_interleavings() -> None:
    random_ = random.Random(3)
    log = _log(random_)
    newest = {number: max(one.timestamp_ms for one in log if one.partition == number) for number in (0, 1)}
    expected = {
        (one.partition, one.offset, _at(one))
        for one in log
        if one.timestamp_ms >= (newest[one.partition] - KEEP.keep_ms) // HOUR_MS * HOUR_MS
    }
    assert 10 < len(expected) < len(log) - 10
    for _ in range(50):
        rows, order = Rows(), _interleaved(log, random_)
        while order:
            size = random_.choice((1, 2, 7, 60))
            rows.write(order[:size])
            order = order[size:]
        assert rows.kept == expected


def test_nothing_is_removed_while_the_hour_is_the_same() -> None:
    rows = Rows()
    rows.write([_record(0, 0, 0)])
    removals = rows.removals
    for offset in range(1, 50):
        assert not rows.write([_record(0, offset, offset * 1_000)]).removals
    assert rows.removals == removals
    late = rows.write([_record(0, 50, HOUR_MS), _record(0, 51, -100 * HOUR_MS)])
    assert [(one.topic, one.partition) for one in late.removals] == [("t", 0)], "a late one never stays"
    assert (0, 51, START - timedelta(hours=100)) not in rows.kept


def test_a_worker_that_takes_over_goes_on_with_the_clock_of_the_checkpoint() -> None:
    ahead = START + timedelta(days=9)
    rows = Rows({("t", 0): ahead})
    batch = rows.write([_record(0, 0, 0), _record(1, 0, 0)])
    assert [one.last_append_time for one in batch.moves] == [ahead, START]
    assert rows.kept == {(1, 0, START)}


def test_a_clock_keeps_the_newest_time() -> None:
    clock = Clock(START)
    clock.passed(START_MS - 5)
    assert clock.newest == START
    clock.passed(START_MS + 5)
    assert clock.newest == START + timedelta(milliseconds=5)
