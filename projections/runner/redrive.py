"""Carrying out operators' orders: queued events folded again in their order, records left out for ever.

One step is one transaction of bounded size, with the partition's checkpoint row held under the worker's own epoch, between two
batches and in the thread that writes them: so nothing of an aggregate can come in between. What is done and what is left stands in
rows, so that a successor goes on with the next step.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from projections.folding import Folding
from projections.projection import Cursor, Prepare
from projections.runner import dropped, faults, quarantine
from projections.runner import redrive_statements as statements
from projections.runner.batch import Decode
from projections.runner.checkpoint import Connection, Partition
from projections.runner.dead_letters import printable
from projections.runner.errors import Fenced, fold_raised
from projections.runner.failures import Blame, blame
from projections.runner.held import Held
from projections.runner.isolation import Read, described, isolate
from projections.runner.orders import Order
from projections.runner.orders_log import Drop
from schemas.envelope import Event, Position, Record

STEP_EVENTS: Final = 500
REHEARSED_EVENTS: Final = 5_000
STEP_BYTES: Final = 16 * 1024 * 1024
GOES_ON: Final = "queues while the events before it are folded again"
REFUSED_REASON: Final = "it is neither a dead letter nor in quarantine: what was folded stays"
AS_FAR_AS_TRIED: Final = "as far as was tried: {tried:,} of {of_all:,} events"


class Outcome(StrEnum):
    """What became of one aggregate or record of an order."""

    RUNNING = "RUNNING"
    FOLDED = "FOLDED"
    """Nothing of the aggregate waits any more."""
    STILL_FAILS = "STILL_FAILS"
    """Up to the event at fault everything is folded; the rest waits behind it."""
    NOTHING_WAITS = "NOTHING_WAITS"
    DROPPED = "DROPPED"
    REFUSED = "REFUSED"


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    aggregate: str
    outcome: Outcome
    folded: int = 0
    waiting: int = 0
    at_fault: int | None = None
    reason: str = ""
    trace: str | None = None


class _Fault(msgspec.Struct, frozen=True):
    """The event of an aggregate that still cannot be folded."""

    offset: int
    reason: str
    trace: str | None


class Redriver:
    """Carries orders out for the partitions of one worker.

    ``step`` is called from the thread that writes batches, with the ``held`` and the epoch of the present assignment.
    """

    def __init__(self, projection: str, prepare: Prepare, decode: Decode) -> None:
        self._projection = projection
        self._prepare = prepare
        self._decode = decode

    def step(self, connection: Connection, order: Order, epoch: int, held: Held) -> None:
        """Do one bounded step of ``order``. Raises Fenced; what ``failures.blame`` says is time's fault, or nobody's."""
        moved: dict[str, int | None] = {}
        left_out: set[Position] = set()
        if faults.has(faults.Bug.REDRIVE_LETS_GO):
            for name in order.aggregates:
                held.aggregates.pop((*order.partition, name.encode()), None)
        with connection.transaction(), connection.cursor() as cursor:
            next_offset = _locked(cursor, order.partition, epoch)
            begun, running = _begun(cursor, order)
            if not begun:
                left_out = _begin(cursor, order, next_offset, moved)
            elif not running:
                cursor.execute(statements.DONE, (order.position + 1, *order.partition, order.position))
            elif order.dry_run:
                self._rehearse(connection, cursor, order, running)
            else:
                self._fold_some(connection, cursor, order, running, moved)
            faults.reached(self._projection, faults.Point.REDRIVEN_BEFORE_COMMIT)
        faults.reached(self._projection, faults.Point.REDRIVEN)
        held.dropped.update(left_out)
        if faults.has(faults.Bug.REDRIVE_LETS_GO):
            return
        for name, at_fault in moved.items():
            aggregate = (*order.partition, name.encode())
            if at_fault is None:
                held.aggregates.pop(aggregate, None)
            else:
                held.aggregates[aggregate] = at_fault

    def leave_out(
        self, connection: Connection, partition: Partition, drops: Sequence[Drop], epoch: int, held: Held
    ) -> None:
        """Leave out from now on what was ordered to be dropped and is still to be read. Raises as ``step``."""
        with connection.transaction(), connection.cursor() as cursor:
            next_offset = _locked(cursor, partition, epoch)
            unread = [one for one in drops if one.offset >= next_offset]
            for order in sorted({one.ordered for one in unread}):
                offsets = [one.offset for one in unread if one.ordered == order]
                dropped.insert(cursor, partition, offsets, order)
        held.dropped.update(Position(*partition, one.offset) for one in unread)

    def _fold_some(
        self,
        connection: Connection,
        cursor: Cursor,
        order: Order,
        running: Sequence[str],
        moved: dict[str, int | None],
    ) -> None:
        """Fold the next events for good; of an aggregate that still fails, the rest waits behind that event."""
        kept, faulty = self._tried(connection, cursor, order, STEP_EVENTS)
        self._fold_into(cursor, kept)
        cursor.execute(statements.FOLDED, (*order.partition, [one.position.offset for one in kept]))
        if kept:  # no offset moves by it: whoever asks whether the rows have changed looks at this time too
            cursor.execute(statements.CHANGED, order.partition)
        folded = Counter(one.event.key for one in kept)
        for name, fault in faulty.items():
            cursor.execute(statements.FAILS, (fault.reason, fault.trace, *order.partition, fault.offset))
            cursor.execute(
                statements.WAITS, (fault.offset, quarantine.BEHIND, *order.partition, name, fault.offset)
            )
        going_on = [name for name in folded if name not in faulty]
        cursor.execute(statements.HEADS, (GOES_ON, going_on, *order.partition, *order.partition))
        said: list[_Said] = []
        for name, (waiting, first) in _counted(cursor, order.partition, running).items():
            if name in faulty:
                said.append(_failing(name, faulty[name], folded[name], waiting))
            elif waiting:
                said.append(
                    _Said(aggregate=name, outcome=Outcome.RUNNING, folded=folded[name], waiting=waiting)
                )
            else:
                outcome = Outcome.FOLDED if folded[name] else Outcome.NOTHING_WAITS
                said.append(_Said(aggregate=name, outcome=outcome, folded=folded[name]))
            if name in folded or name in faulty or not waiting:
                moved[name] = first
        _say(cursor, order, said)

    def _rehearse(self, connection: Connection, cursor: Cursor, order: Order, running: Sequence[str]) -> None:
        """Say what would become of some of the aggregates: all that is folded is taken back."""
        kept, faulty = self._tried(connection, cursor, order, REHEARSED_EVENTS)
        folded = Counter(one.event.key for one in kept)
        said: list[_Said] = []
        for name, (waiting, _) in _counted(cursor, order.partition, running).items():
            tried = folded[name]
            if name in faulty:
                said.append(_failing(name, faulty[name], tried, waiting - tried))
            elif not waiting:
                said.append(_Said(aggregate=name, outcome=Outcome.NOTHING_WAITS))
            elif tried:
                reason = "" if tried == waiting else AS_FAR_AS_TRIED.format(tried=tried, of_all=waiting)
                said.append(
                    _Said(
                        aggregate=name,
                        outcome=Outcome.FOLDED,
                        folded=tried,
                        waiting=waiting - tried,
                        reason=reason,
                    )
                )
        _say(cursor, order, said)

    def _tried(
        self, connection: Connection, cursor: Cursor, order: Order, events: int
    ) -> tuple[list[Folding], dict[str, _Fault]]:
        """Of the next queued events: those that can be folded, and per aggregate the first that cannot."""
        reads, faulty = self._queue(cursor, order, events)

        def attempt(some: Sequence[Folding]) -> Exception | None:
            try:
                with connection.transaction(force_rollback=True), connection.cursor() as trial:
                    self._fold_into(trial, some)
            except Exception as error:
                if blame(error) is not Blame.EVENT:
                    raise
                return error
            return None

        split = isolate(reads, {}, attempt, lambda queued: None)
        for one in split.queued:
            if one.error is not None:
                record = one.read.record
                faulty[_name(record)] = _fault(record, one.error)
        return split.kept, faulty

    def _fold_into(self, cursor: Cursor, events: Sequence[Folding]) -> None:
        try:
            write = self._prepare(events)
        except Exception as error:
            raise fold_raised(error) from error
        write(cursor)

    def _queue(self, cursor: Cursor, order: Order, events: int) -> tuple[list[Read], dict[str, _Fault]]:
        """The next queued events of what is being redriven, and the first of each that this build cannot even decode."""
        rows = cursor.execute(
            statements.QUEUE,
            {
                "ordered": order.position,
                "topic": order.partition[0],
                "partition": order.partition[1],
                "events": events,
                "bytes": STEP_BYTES,
            },
        ).fetchall()
        reads: list[Read] = []
        faulty: dict[str, _Fault] = {}
        for row in rows:
            record, appended_at = _record(order.partition, row)
            if _name(record) in faulty:
                continue
            decoded = self._decode(record)
            if isinstance(decoded, Event):
                reads.append(Read(record, Folding(decoded, record.position, appended_at)))
            else:
                faulty[_name(record)] = _fault(
                    record, ValueError(f"this build cannot read it any more: {decoded!r}")
                )
        return reads, faulty


def _locked(cursor: Cursor, partition: Partition, epoch: int) -> int:
    """Hold the partition's checkpoint row; the next offset to read."""
    row = cursor.execute(statements.LOCK, (*partition, epoch)).fetchone()
    if row is None or not isinstance(row[0], int):
        raise Fenced(
            f"{partition[0]}/{partition[1]} was taken over by another worker, which carries the orders out",
            remedy="Nothing to do: this worker begins again.",
        )
    return row[0]


def _begun(cursor: Cursor, order: Order) -> tuple[bool, list[str]]:
    """Whether the order was begun here, and the aggregates that it still works on."""
    rows = cursor.execute(statements.BEGUN, (order.position, *order.partition)).fetchall()
    return bool(rows), [str(name) for name, outcome in rows if outcome == Outcome.RUNNING]


def _begin(cursor: Cursor, order: Order, next_offset: int, moved: dict[str, int | None]) -> set[Position]:
    """Write down what is to be redriven, and drop what is to be dropped; of that, what is still to be read."""
    names, left_out = order.aggregates, set[Position]()
    if order.records:
        names, left_out = _drop(cursor, order, next_offset, moved)
    cursor.execute(statements.NAME_AGGREGATES, (order.position, *order.partition, names))
    return left_out


def _drop(
    cursor: Cursor, order: Order, next_offset: int, moved: dict[str, int | None]
) -> tuple[list[str], set[Position]]:
    """Leave the records out; the aggregates whose queue lost its head, and what is still to be read."""
    partition, wanted = order.partition, order.records
    place = (*partition, wanted)
    before = _offsets(cursor.execute(statements.DROPPED_BEFORE, place).fetchall())
    letters = _offsets(cursor.execute(statements.DROP_LETTERS, place).fetchall())
    rows = cursor.execute(statements.DROP_QUEUED, place).fetchall()
    queued = _offsets(rows)
    unread = {offset for offset in wanted if offset >= next_offset}
    gone = before | letters | queued | unread
    dropped.insert(cursor, partition, sorted(gone - before), order.position)
    said = [(Outcome.DROPPED, "") if one in gone else (Outcome.REFUSED, REFUSED_REASON) for one in wanted]
    cursor.execute(
        statements.SAY_RECORDS,
        (
            order.position,
            *partition,
            wanted,
            [outcome.value for outcome, _ in said],
            [reason for _, reason in said],
        ),
    )
    headless = sorted({str(name) for _, name in rows if name is not None})
    cursor.execute(statements.HEADS, (GOES_ON, headless, *partition, *partition))
    for name, (_, first) in _counted(cursor, partition, headless).items():
        moved[name] = first
    return [name for name in headless if moved[name] is not None], {
        Position(*partition, one) for one in unread
    }


def _counted(cursor: Cursor, partition: Partition, names: Sequence[str]) -> dict[str, tuple[int, int | None]]:
    """How many events of each aggregate wait, and the offset of the first."""
    rows = cursor.execute(statements.COUNT, (list(names), *partition)).fetchall()
    found = msgspec.convert(rows, list[tuple[str, int, int | None]])
    return {name: (waiting, first) for name, waiting, first in sorted(found)}


def _say(cursor: Cursor, order: Order, said: Sequence[_Said]) -> None:
    columns = [
        [getattr(one, name) for one in said]
        for name in ("aggregate", "outcome", "folded", "waiting", "at_fault", "reason", "trace")
    ]
    cursor.execute(statements.SAY, (*columns, order.position, *order.partition))


def _failing(name: str, fault: _Fault, folded: int, waiting: int) -> _Said:
    return _Said(
        aggregate=name,
        outcome=Outcome.STILL_FAILS,
        folded=folded,
        waiting=waiting,
        at_fault=fault.offset,
        reason=fault.reason,
        trace=fault.trace,
    )


def _fault(record: Record, error: Exception) -> _Fault:
    return _Fault(record.offset, printable(described(error)), printable(quarantine.trace(error)))


def _name(record: Record) -> str:
    return (record.key or b"").decode()


def _offsets(rows: Sequence[tuple[object, ...]]) -> set[int]:
    return {row[0] for row in rows if isinstance(row[0], int)}


def _record(partition: Partition, row: tuple[object, ...]) -> tuple[Record, datetime]:
    """A row of the quarantine as the record that it was."""
    offset, appended_at, key, value, names, contents = msgspec.convert(
        row,
        tuple[int, datetime, bytes | None, bytes | None, list[str], list[bytes]],
        builtin_types=(bytes, datetime),
    )
    headers = tuple(zip(names, contents, strict=True))
    return Record(*partition, offset, round(appended_at.timestamp() * 1000), key, value, headers), appended_at
