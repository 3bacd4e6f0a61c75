"""From records to a batch that can be written: decode, decide, fold. Pure, one partition's order kept."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec

from infra.kafka.checksum import record_crc32
from projections.folding import Folding
from projections.projection import Cursor, Prepare, Write
from projections.runner.checkpoint import Move, Partition
from projections.runner.errors import fold_raised
from projections.runner.guards import Decisions, Guards
from projections.runner.held import Held
from projections.runner.horizon import Clock, Horizon, Removal
from projections.runner.isolation import Read
from schemas.codec import Decoded, Undecodable, UnknownType, UnknownVersion, decode, record_size_bytes
from schemas.envelope import Event, Record
from schemas.legality import RULES

Decode = Callable[[Record], Decoded | None]
"""None: the record is passed over."""
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
    chunks: list[Sequence[Record]]
    """What was read, and some records more: ``reads`` knows which."""
    held: Held

    def reads(self) -> list[Read]:
        """The events that were to be folded, decoded once more: for the rare batch that has to be folded in parts."""
        refused = self.decisions.refused if self.decisions is not None else frozenset()
        at = {(step.topic, step.partition): step.fetched_from for step in self.moves}
        ends = {(step.topic, step.partition): step.next_offset for step in self.moves}
        found: list[Read] = []
        for record in (record for chunk in self.chunks for record in chunk):
            place = (record.topic, record.partition)
            if not at.get(place, 0) <= record.offset < ends.get(place, 0):
                continue
            at[place] = record.offset + 1
            decoded = self.decode(record)
            if isinstance(decoded, Event) and record.position not in refused:
                found.append(Read(record, Folding(decoded, record.position, append_time(record))))
        return found


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
    Records of a blocked partition are ignored.
    """

    def __init__(
        self,
        prepare: Prepare,
        guards: Guards | None = None,
        *,
        decode: Decode = decode,
        horizon: Horizon | None = None,
    ) -> None:
        self._prepare: Final = prepare
        self._guards: Final = guards
        self._decode: Final = decode
        self._horizon: Final = horizon
        self._places: dict[Partition, _Place] = {}
        self._blocked: set[Partition] = set()
        self._held = Held()
        self._clear()

    def _clear(self) -> None:
        self._events: list[Folding] = []
        self._guarded: list[Folding] = []
        self._chunks: list[Sequence[Record]] = []
        self._dead_letters: list[DeadLetter] = []
        self._skipped: Counter[str] = Counter()
        self.records = 0
        self.size_bytes = 0

    def assign(
        self,
        starts: dict[Partition, tuple[int, int]],
        clocks: Mapping[Partition, datetime | None] = _NO_CLOCKS,
        held: Held | None = None,
    ) -> None:
        """Begin with exactly these partitions, of which ``held`` is in quarantine; what was gathered before is forgotten."""
        self._held = held if held is not None else Held()
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
        for record in records:
            partition = (record.topic, record.partition)
            place = self._places.get(partition)
            if place is None or partition in self._blocked or record.offset < place.next_offset:
                continue
            decoded = self._decode(record)
            if isinstance(decoded, UnknownVersion):
                self._blocked.add(partition)
                reason = f"{decoded.name} v{decoded.version} at {record.position}"
                stopped.append(Blocked(partition, record.offset, reason))
                continue
            place.next_offset = record.offset + 1
            place.last = record
            place.clock.passed(record.timestamp_ms)
            self.records += 1
            self.size_bytes += record_size_bytes(record.key, record.value, record.headers)
            self._sort(record, decoded, guarded=place.guarded)
        if self.records > before:
            self._chunks.append(records)
        return stopped

    def _sort(
        self, record: Record, decoded: Event | Undecodable | UnknownType | None, *, guarded: bool
    ) -> None:
        match decoded:
            case Event():
                folding = Folding(decoded, record.position, append_time(record))
                self._events.append(folding)
                if guarded and decoded.type.guarded:
                    self._guarded.append(folding)
            case Undecodable(reason=reason, path=path):
                self._dead_letters.append(DeadLetter(record, reason, path))
            case UnknownType(name=name):
                self._skipped[name] += 1
            case None:
                pass

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
            held=self._held,
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
            return self._prepare(events)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a bug raises; the writer's thread deals with it
            failure = fold_raised(error)

            def write(cursor: Cursor) -> int:
                raise failure

            return write


def append_time(record: Record) -> datetime:
    """When the broker appended the record."""
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
