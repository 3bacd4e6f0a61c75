"""From records to batches: what moves, what is a dead letter, what stops."""

from collections.abc import Sequence
from typing import cast

import msgspec
import pytest

from infra.kafka.checksum import record_crc32
from projections.folding import Folding
from projections.projection import Cursor, Write
from projections.runner.batch import Collector
from projections.runner.checkpoint import Move
from projections.runner.errors import FoldRaised
from projections.runner.guards import Guards, Known, Said
from projections.runner.held import Held
from projections.runner.isolation import aggregate_of
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


def nothing_again(moves: Sequence[Move]) -> list[Record]:
    raise AssertionError(f"nothing has to be read again: {moves}")


class Pieces:
    """A gatherer that remembers what came, piece by piece."""

    def __init__(self, failing_at: int = -1, *, at_the_end: bool = False) -> None:
        self.pieces: list[list[int]] = []
        self.forgotten = 0
        self._failing_at = failing_at
        self._at_the_end = at_the_end

    def add(self, events: Sequence[Folding]) -> None:
        offsets = [one.position.offset for one in events]
        if self._failing_at in offsets and not self._at_the_end:
            raise KeyError("a bug")
        if offsets:
            self.pieces.append(offsets)

    def take(self) -> Write:
        if self._at_the_end and any(self._failing_at in piece for piece in self.pieces):
            self.pieces = []
            raise KeyError("a bug")
        number = sum(map(len, self.pieces))
        self.pieces.append([])
        return lambda cursor: number

    def forget(self) -> None:
        self.forgotten += 1


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
    found = Collector(folded, nothing_again)
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

    collector = Collector(folded, nothing_again, Guards(load, owned=[TOPIC]))
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

    collector = Collector(fold, nothing_again)
    collector.assign({(TOPIC, 0): (1, 0)})
    collector.add([_record(0)])
    batch = collector.take()
    assert batch.moves[0].next_offset == 1
    with pytest.raises(FoldRaised) as failed:
        batch.write(cast(Cursor, None))
    assert isinstance(failed.value.__cause__, KeyError)


def test_pieces_are_folded_as_they_are_read_but_what_may_be_refused_waits() -> None:
    def load(said: Sequence[Said]) -> dict[Said, Known]:
        return {one: Known(AggregateState(), None) for one in said}

    pieces = Pieces()
    collector = Collector(lambda events: pytest.fail("not whole"), nothing_again, Guards(load, owned=[TOPIC]))
    collector.assign({(TOPIC, 0): (1, 0)}, gatherer=pieces)
    pushed = [
        record(event(RepositoryPushed(repository_id=1, default_branch=None, tip=None)), offset)
        for offset in range(4)
    ]
    collector.add(pushed[:2])
    collector.add([pushed[2], pushed[3], _record(4)])
    again = msgspec.structs.replace(_record(4), offset=5)
    collector.add([again])
    assert collector.take().write(cast(Cursor, None)) == 5
    assert pieces.pieces == [[0, 1], [2, 3], [4], []], "what is behind is ignored, a repeat is refused"


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_piece_that_fails_fails_the_write_of_its_batch_and_nothing_is_relied_on_from_then_on(
    at_the_end: bool,
) -> None:
    pieces = Pieces(failing_at=1, at_the_end=at_the_end)
    collector = Collector(lambda events: pytest.fail("not whole"), nothing_again)
    collector.assign({(TOPIC, 0): (1, 0)}, gatherer=pieces)
    for offset in range(3):
        collector.add([_record(offset)])
    batch = collector.take()
    with pytest.raises(FoldRaised) as failed:
        batch.write(cast(Cursor, None))
    assert isinstance(failed.value.__cause__, KeyError)
    assert pieces.forgotten == 1, "before the next batch is gathered, which the writer may take up only later"
    collector.add([_record(3)])
    collector.take().write(cast(Cursor, None))


def test_records_are_kept_only_while_something_is_held_and_else_read_again(folded: Folded) -> None:
    asked: list[Sequence[Move]] = []

    def again(moves: Sequence[Move]) -> list[Record]:
        asked.append(moves)
        return [_record(offset) for offset in range(3)]

    held = Held()
    collector = Collector(folded, again)
    collector.assign({(TOPIC, 0): (1, 0)}, held=held)
    collector.add([_record(0), _record(1)])
    first = collector.take()
    assert not first.meets_held()
    assert asked == [], "nothing is held: nobody looks"
    held.aggregates[aggregate_of(_record(0))] = 0
    assert first.meets_held(), "it was put aside by a batch before, after this one was gathered"
    assert [one.folding.position.offset for one in first.reads()] == [0, 1]
    assert asked == [first.moves, first.moves]
    collector.add([_record(2)])  # gathering of this one had begun before something was held
    assert [one.folding.position.offset for one in collector.take().reads()] == [2]
    collector.add([_record(3)])
    third = collector.take()
    assert third.meets_held()
    assert [one.folding.position.offset for one in third.reads()] == [3]
    assert len(asked) == 3, "from then on they are kept"


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
