"""One batch, one transaction: what the runner does with the live log, and a replay with the past."""

from collections.abc import Sequence

import structlog

from infra.metrics import QUARANTINED_EVENTS
from projections.folding import Folding
from projections.projection import Cursor
from projections.runner import checkpoint, dead_letters, faults, guard_rows, horizon, quarantine
from projections.runner.batch import Batch
from projections.runner.checkpoint import Connection
from projections.runner.errors import fold_raised
from projections.runner.failures import Blame, blame
from projections.runner.isolation import Queued, described, isolate, offsets_at_fault

_log = structlog.get_logger()


def apply(connection: Connection, projection: str, batch: Batch) -> int:
    """Commit {compare-and-set of the checkpoints, rows, what is past a horizon, dead letters, the guard's rows and
    verdicts}; the number of rows.

    Where an event meets a bug in the fold or its writer, its aggregate goes into quarantine in that transaction, and the rest of
    the batch is written. The connection has the generation's schema as its search path.

    Raises Fenced; FoldFailed (the quarantine is flooded, or no event is at fault); what ``failures.blame`` says is time's fault.
    """
    faults.reached(projection, faults.Point.BEFORE_WRITE)
    if faults.has(faults.Bug.OFFSETS_FIRST):
        with connection.transaction(), connection.cursor() as cursor:
            checkpoint.move(cursor, batch.moves)
    queued: Sequence[Queued] = ()
    if batch.held.meets(batch.chunks):
        rows, queued = _in_parts(connection, projection, batch)
    else:
        try:
            rows = _whole(connection, projection, batch)
        except Exception as error:
            if blame(error) is not Blame.EVENT:
                raise
            rows, queued = _in_parts(connection, projection, batch)
    _passed(projection, batch, queued)
    faults.reached(projection, faults.Point.AFTER_COMMIT_BEFORE_KAFKA_COMMIT)
    return rows


def _whole(connection: Connection, projection: str, batch: Batch) -> int:
    with connection.transaction(), connection.cursor() as cursor:
        _move(cursor, batch)
        rows = batch.write(cursor)
        _beside(cursor, projection, batch)
    return rows


def _in_parts(connection: Connection, projection: str, batch: Batch) -> tuple[int, Sequence[Queued]]:
    """Write what can be written and put the rest aside, all in one transaction."""

    def attempt(events: Sequence[Folding]) -> Exception | None:
        try:
            with connection.transaction(force_rollback=True), connection.cursor() as trial:
                _fold_into(trial, batch, events)
        except Exception as error:
            if blame(error) is not Blame.EVENT:
                raise
            return error
        return None

    with connection.transaction(), connection.cursor() as cursor:
        _move(cursor, batch)
        before = quarantine.count(cursor)

        def found(queued: Sequence[Queued]) -> None:
            newly = offsets_at_fault(queued)
            first = next(one for one in queued if one.error is not None)
            what = f"{first.read.record.position}: {described(first.error) if first.error else ''}"
            batch.held.breaker.check(before + len(newly), batch.records, len(newly), len(queued), what)

        split = isolate(batch.reads(), batch.held.aggregates, attempt, found)
        rows = _fold_into(cursor, batch, split.kept)
        quarantine.insert(cursor, split.queued)
        _beside(cursor, projection, batch)
    return rows, split.queued


def _fold_into(cursor: Cursor, batch: Batch, events: Sequence[Folding]) -> int:
    try:
        write = batch.prepare(events)
    except Exception as error:
        raise fold_raised(error) from error
    return write(cursor)


def _move(cursor: Cursor, batch: Batch) -> None:
    if not faults.has(faults.Bug.OFFSETS_FIRST):
        checkpoint.move(cursor, batch.moves)


def _beside(cursor: Cursor, projection: str, batch: Batch) -> None:
    """What else stands in the transaction."""
    horizon.remove(cursor, batch.removals)
    dead_letters.insert(cursor, batch.dead_letters)
    if batch.decisions is not None:
        guard_rows.write(cursor, batch.decisions)
    faults.reached(projection, faults.Point.AFTER_WRITE_BEFORE_COMMIT)


def _passed(projection: str, batch: Batch, queued: Sequence[Queued]) -> None:
    """The batch is committed."""
    if batch.decisions is not None:
        batch.decisions.written = True
    newly = offsets_at_fault(queued)
    batch.held.aggregates.update(newly)
    batch.held.breaker.passed(batch.records, len(newly), len(queued))
    if queued:
        QUARANTINED_EVENTS.labels(projection).inc(len(queued))
    for one in queued:
        if one.error is not None:
            _log.error(
                "aggregate_quarantined",
                projection=projection,
                position=str(one.read.record.position),
                aggregate=one.read.folding.event.key,
                reason=described(one.error),
                remedy="Correct the fold; its events wait in order, with the trace, in the table quarantine of this generation.",
            )
