"""From records to batches: what moves, what is a dead letter, what stops."""

from collections.abc import Sequence
from typing import cast

import msgspec
import pytest

from infra.kafka.checksum import record_crc32
from projections.folding import Folding
from projections.projection import Cursor, Write
from projections.runner.batch import Collector
from projections.runner.errors import FoldRaised
from projections.runner.guards import Guards, Known, Said
from projections.runner.notify import MAX_PAYLOAD_BYTES, payload
from schemas.codec import record_size_bytes
from schemas.envelope import Record
from schemas.events import RepositoryPushed, RepositoryRegistered, RepositoryRemoved
from schemas.legality import Accepted, AggregateState, Duplicate
from schemas.topics import Topic
from tests.support.projecting import event, record

TOPIC = Topic.REPOSITORIES.value


def _record(offset: int, partition: int = 0) -> Record:
    said = event(
        RepositoryRegistered(repository_id=1, name="a/b", path="/p"), at=offset, event_id=f"e-{offset}"
    )
    return record(said, offset, partition=partition)


def _with(found: Record, name: str, value: bytes) -> Record:
    return msgspec.structs.replace(found, headers=tuple((dict(found.headers) | {name: value}).items()))


class Folded:
    """Remembers what came to be folded."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, events: Sequence[Folding]) -> Write:
        self.batches.append([one.position.offset for one in events])

        def write(cursor: Cursor) -> int:
            return len(events)

        return write


@pytest.fixture
def folded() -> Folded:
    return Folded()


@pytest.fixture
def collector(folded: Folded) -> Collector:
    found = Collector(folded)
    found.assign({(TOPIC, 0): (4, 10), (TOPIC, 1): (5, 0)})
    return found


def test_a_batch_moves_each_partition_from_where_it_was_fetched(collector: Collector) -> None:
    collector.add([_record(10), _record(12), _record(0, 1)])
    first = collector.take()
    collector.add([_record(13)])
    second = collector.take()
    assert [(move.partition, move.epoch, move.fetched_from, move.next_offset) for move in first.moves] == [
        (0, 4, 10, 13),
        (1, 5, 0, 1),
    ]
    assert [(move.partition, move.fetched_from, move.next_offset) for move in second.moves] == [(0, 13, 14)]
    assert first.moves[0].last_offset == 12
    assert first.moves[0].last_crc32 == record_crc32(_record(12))


def test_gaps_are_passed_and_what_is_behind_or_not_ours_is_ignored(
    collector: Collector, folded: Folded
) -> None:
    collector.add([_record(9), _record(11), _record(3, 7), _record(11)])
    assert collector.take().records == 1
    assert folded.batches == [[11]]


def test_bad_records_are_dead_letters_and_unknown_types_counted(collector: Collector, folded: Folded) -> None:
    bad = msgspec.structs.replace(_record(10), value=b"{")
    unknown = _with(_record(11), "ce_type", b"millstream.repository.painted")
    collector.add([bad, unknown, _record(12)])
    batch = collector.take()
    assert [(letter.record, letter.path) for letter in batch.dead_letters] == [(bad, "$")]
    assert batch.skipped == {"millstream.repository.painted": 1}
    assert folded.batches == [[12]]
    assert batch.moves[0].next_offset == 13


def test_an_unknown_version_blocks_its_partition_at_that_record(collector: Collector, folded: Folded) -> None:
    newer = _with(_record(11), "ce_dataschema", b"millstream://schemas/millstream.repository.registered/v9")
    (blocked,) = collector.add([_record(10), newer, _record(12), _record(0, 1)])
    assert (blocked.partition, blocked.offset) == ((TOPIC, 0), 11)
    assert collector.add([_record(13)]) == []
    assert [(move.partition, move.next_offset) for move in collector.take().moves] == [(0, 11), (1, 1)]
    assert folded.batches == [[10, 0]]


def test_what_the_guard_refuses_is_not_folded_but_passed(folded: Folded) -> None:
    asked: list[int] = []

    def load(said: Sequence[Said]) -> dict[Said, Known]:
        asked.append(len(said))
        return {one: Known(AggregateState(), None) for one in said}

    collector = Collector(folded, Guards(load, owned=[TOPIC]))
    collector.assign({(TOPIC, 0): (1, 0)})
    removed = record(event(RepositoryRemoved(repository_id=1), event_id="e-2"), 2)
    pushed = record(event(RepositoryPushed(repository_id=1, default_branch=None, tip=None)), 4)
    again = msgspec.structs.replace(_record(0), offset=3)
    collector.add(
        [_record(0), _record(1), removed, again, pushed, msgspec.structs.replace(removed, offset=5)]
    )
    batch = collector.take()
    assert batch.moves[0].next_offset == 6
    assert folded.batches == [[0, 1, 2, 4]]
    assert batch.decisions is not None
    assert [type(one.judgement) for one in batch.decisions.all] == [
        Accepted,
        Accepted,
        Accepted,
        Duplicate,
        Duplicate,
    ]
    collector.add([msgspec.structs.replace(pushed, offset=6)])
    assert collector.take().decisions is None, "no guarded event, no look at the rows"
    assert asked == [3]


def test_a_fold_that_raises_fails_the_write_of_its_batch() -> None:
    def fold(events: Sequence[Folding]) -> Write:
        raise KeyError("a bug")

    collector = Collector(fold)
    collector.assign({(TOPIC, 0): (1, 0)})
    collector.add([_record(0)])
    batch = collector.take()
    assert batch.moves[0].next_offset == 1
    with pytest.raises(FoldRaised) as failed:
        batch.write(cast(Cursor, None))
    assert isinstance(failed.value.__cause__, KeyError)


def test_an_assignment_forgets_what_was_gathered(collector: Collector, folded: Folded) -> None:
    collector.add([_record(10)])
    collector.assign({(TOPIC, 0): (6, 10)})
    assert collector.records == 0
    collector.add([_record(10)])
    assert [(move.epoch, move.fetched_from) for move in collector.take().moves] == [(6, 10)]


def test_a_notification_fits() -> None:
    assert payload("p", [("t", 1, 5)]) == "p t/1@5"
    long = payload("p", [("millstream.results", number, 1 << 40) for number in range(1000)])
    assert len(long) <= MAX_PAYLOAD_BYTES


def test_a_batch_is_as_large_as_its_records_with_keys_and_headers(collector: Collector) -> None:
    heavy = _with(_record(10), "ce_note", b"x" * 50_000)
    collector.add([heavy])
    assert collector.size_bytes == record_size_bytes(heavy.key, heavy.value, heavy.headers)
    assert collector.size_bytes > 50_000
