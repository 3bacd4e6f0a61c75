"""From records to a batch that can be written: decode, decide, fold. Pure, one partition's order kept."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec

from infra.kafka.checksum import record_crc32
from projections.folding import Folding
from projections.projection import Cursor, Gatherer, Prepare, Write
from projections.runner.checkpoint import Move, Partition
from projections.runner.errors import FoldRaised, fold_raised
from projections.runner.guards import Decisions, Guards
from projections.runner.held import Held
from projections.runner.horizon import Clock, Horizon, Removal
from projections.runner.isolation import Read
from schemas.codec import Decoded, Undecodable, UnknownType, UnknownVersion, decode, record_size_bytes
from schemas.envelope import Event, Position, Record
from schemas.legality import RULES

Decode = Callable[[Record], Decoded | None]
"""None: the record is passed over."""
ReadAgain = Callable[[Sequence[Move]], Sequence[Record]]
"""The records of a batch from the log, each partition's in order."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_HEADERS_MEASURED: Final = 8
"""Of so many records the headers of one are measured: they are alike, so those stand for the others."""
_NO_CLOCKS: Final[Mapping[Partition, datetime | None]] = MappingProxyType({})


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that is no event, and why. ``path`` is the field, or empty."""

    record: Record
    reason: str
    path: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction's worth of the log."""

    moves: list[Move]
    write: Write
    dead_letters: list[DeadLetter]
    decisions: Decisions | None
    """What the guard decided; None when no guarded event is in the batch."""
    records: int
    skipped: Counter[str]
    removals: list[Removal] = []
    """Rows that are past the projection's horizon with this batch."""
    decode: Decode
    prepare: Prepare
    chunks: list[Sequence[Record]] | None
    """What was read, and some records more; None: not kept, since nothing was held when it was gathered."""
    read_again: ReadAgain
    held: Held
    gatherer: Gatherer | None = None

    def meets_held(self) -> bool:
        """Whether a record belongs to an aggregate in quarantine, or is to be left out. Costs nothing while there are none."""
        return bool(self.held) and any(map(self.held.holds, self._records()))

    def reads(self) -> list[Read]:
        """The events that were to be folded, decoded once more: for the rare batch that has to be folded in parts."""
        refused = self.decisions.refused if self.decisions is not None else frozenset()
        at = {(step.topic, step.partition): step.fetched_from for step in self.moves}
        ends = {(step.topic, step.partition): step.next_offset for step in self.moves}
        found: list[Read] = []
        for record in self._records():
            place = (record.topic, record.partition)
            if not at.get(place, 0) <= record.offset < ends.get(place, 0):
                continue
            at[place] = record.offset + 1
            decoded = self.decode(record)
            if isinstance(decoded, Event) and record.position not in refused:
                found.append(Read(record, Folding(decoded, record.position, append_time(record))))
        return found

    def _records(self) -> Iterable[Record]:
        if self.chunks is None:
            return self.read_again(self.moves)
        return (record for chunk in self.chunks for record in chunk)


class Blocked(msgspec.Struct, frozen=True):
    """A partition that this build cannot read on: it holds an unknown version at ``offset``."""

    partition: Partition
    offset: int
    reason: str


class _Place:
    """Where the open batch stands in one partition."""

    def __init__(self, epoch: int, next_offset: int, clock: Clock, *, guarded: bool) -> None:
        self.epoch = epoch
        self.clock = clock
        self.guarded = guarded
        self.fetched_from = next_offset
        self.next_offset = next_offset
        self.last: Record | None = None


class Collector:
    """Gathers records of the assigned partitions until they are taken as a batch.

    ``starts`` of ``assign`` are (epoch, next offset) as claimed, ``clocks`` the newest append times applied before.
    Records of a blocked partition are ignored. Records are let go of once they are decoded: a batch of some thousand, with a dozen
    small objects each, costs more to keep and to free later than to read twice when something goes wrong.
    """

    def __init__(
        self,
        prepare: Prepare,
        read_again: ReadAgain,
        guards: Guards | None = None,
        *,
        decode: Decode = decode,
        horizon: Horizon | None = None,
    ) -> None:
        self._prepare: Final = prepare
        self._read_again: Final = read_again
        self._guards: Final = guards
        self._decode: Final = decode
        self._horizon: Final = horizon
        self._places: dict[Partition, _Place] = {}
        self._blocked: set[Partition] = set()
        self._held = Held()
        self._gatherer: Gatherer | None = None
        self._clear()

    def _clear(self) -> None:
        self._events: list[Folding] = []
        self._failure: FoldRaised | None = None
        self._guarded: list[Folding] = []
        self._chunks: list[Sequence[Record]] | None = [] if self._held else None
        self._dead_letters: list[DeadLetter] = []
        self._skipped: Counter[str] = Counter()
        self.records = 0
        self.size_bytes = 0
        self._headers_bytes = 0

    def assign(
        self,
        starts: dict[Partition, tuple[int, int]],
        clocks: Mapping[Partition, datetime | None] = _NO_CLOCKS,
        held: Held | None = None,
        gatherer: Gatherer | None = None,
    ) -> None:
        """Begin with exactly these partitions, of which ``held`` is in quarantine; what was gathered before is forgotten."""
        self._held = held if held is not None else Held()
        self._gatherer = gatherer
        self._places = {
            partition: _Place(
                epoch,
                next_offset,
                Clock(clocks.get(partition)),
                guarded=self._guards is not None and partition[0] in RULES,
            )
            for partition, (epoch, next_offset) in starts.items()
        }
        self._blocked = set()
        if self._guards is not None:
            self._guards.forget()
        self._clear()

    def add(self, records: Sequence[Record]) -> list[Blocked]:
        """Decode ``records``; the partitions that have to stop now."""
        stopped: list[Blocked] = []
        before = self.records
        ready = self._events if self._gatherer is None else []
        topic, number, append_ms = "", -1, -1
        place: _Place | None = None
        appended_at = _EPOCH
        for record in records:  # mostly in long runs of one partition, and of one append time in these
            if record.partition != number or record.topic != topic:
                topic, number, append_ms = record.topic, record.partition, -1
                place = None if (topic, number) in self._blocked else self._places.get((topic, number))
            if place is None or record.offset < place.next_offset:
                continue
            decoded = self._decode(record)
            if isinstance(decoded, UnknownVersion):
                self._blocked.add((topic, number))
                place = None
                reason = f"{decoded.name} v{decoded.version} at {record.position}"
                stopped.append(Blocked((topic, number), record.offset, reason))
                continue
            if record.timestamp_ms != append_ms:
                append_ms, appended_at = record.timestamp_ms, append_time(record)
                place.clock.passed(append_ms)
            place.next_offset = record.offset + 1
            place.last = record
            if not self.records % _HEADERS_MEASURED:
                self._headers_bytes = record_size_bytes(None, None, record.headers)
            self.records += 1
            self.size_bytes += self._headers_bytes + len(record.value or b"") + len(record.key or b"")
            if isinstance(decoded, Event):
                folding = Folding(decoded, Position(topic, number, record.offset), appended_at)
                if place.guarded and decoded.type.guarded:
                    self._guarded.append(folding)
                    self._events.append(folding)
                else:
                    ready.append(folding)
            elif decoded is not None:
                self._put_aside(record, decoded)
        if ready is not self._events:
            self._gather(ready)
        if self._chunks is not None and self.records > before:
            self._chunks.append(records)
        return stopped

    def _gather(self, events: Sequence[Folding]) -> None:
        """Have them folded at once, where somebody does that."""
        if self._gatherer is None or self._failure is not None:
            return
        try:
            self._gatherer.add(events)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a bug raises; the writer's thread deals with it
            self._failure = self._failed(error)

    def _put_aside(self, record: Record, decoded: Undecodable | UnknownType) -> None:
        if isinstance(decoded, UnknownType):
            self._skipped[decoded.name] += 1
        else:
            self._dead_letters.append(DeadLetter(record, decoded.reason, decoded.path))

    def take(self) -> Batch:
        """The gathered records as a batch; gathering begins again behind it.

        What the fold raises is raised by the batch's ``write``. Raises what reading the guard's rows raises.
        """
        events, decisions = self._events, self._decisions()
        if decisions is not None and (refused := decisions.refused):
            events = [one for one in events if one.position not in refused]
        moves = [
            Move(
                topic=topic,
                partition=number,
                epoch=place.epoch,
                fetched_from=place.fetched_from,
                next_offset=place.next_offset,
                last_offset=place.last.offset,
                last_crc32=record_crc32(place.last),
                last_append_time=place.clock.newest,
            )
            for (topic, number), place in self._places.items()
            if place.last is not None
        ]
        batch = Batch(
            moves=moves,
            write=self._prepared(events),
            dead_letters=self._dead_letters,
            decisions=decisions,
            records=self.records,
            skipped=self._skipped,
            removals=self._removals(),
            decode=self._decode,
            prepare=self._prepare,
            chunks=self._chunks,
            read_again=self._read_again,
            held=self._held,
            gatherer=self._gatherer,
        )
        for place in self._places.values():
            place.fetched_from, place.last = place.next_offset, None
        self._clear()
        return batch

    def _removals(self) -> list[Removal]:
        horizon = self._horizon
        if horizon is None:
            return []
        found = (
            horizon.removal(partition, place.clock)
            for partition, place in self._places.items()
            if place.last is not None
        )
        return [one for one in found if one is not None]

    def _decisions(self) -> Decisions | None:
        return self._guards.judge(self._guarded) if self._guards is not None and self._guarded else None

    def _prepared(self, events: list[Folding]) -> Write:
        try:
            if self._gatherer is None:
                return self._prepare(events)
            self._gather(events)
            write = self._gatherer.take()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a bug raises; the writer's thread deals with it
            return _raising(self._failed(error))
        return write if self._failure is None else _raising(self._failure)

    def _failed(self, error: Exception) -> FoldRaised:
        """What was added before or behind it will be written without the gatherer: it may rely on nothing any more."""
        if self._gatherer is not None:
            self._gatherer.forget()
        return fold_raised(error)


def _raising(failure: FoldRaised) -> Write:
    def write(cursor: Cursor) -> int:
        raise failure

    return write


def append_time(record: Record) -> datetime:
    """When the broker appended the record."""
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
