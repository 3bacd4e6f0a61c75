"""One batch, one transaction: what the runner does with the live log, and a replay with the past."""

from collections.abc import Sequence

import structlog

from infra.metrics import QUARANTINED_EVENTS
from projections.folding import Folding
from projections.projection import Cursor
from projections.runner import checkpoint, dead_letters, faults, guard_rows, horizon, quarantine
from projections.runner.batch import Batch, DeadLetter
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
    if batch.meets_held():
        rows, queued = _in_parts(connection, projection, batch)
    else:
        try:
            rows = _whole(connection, projection, batch)
        except Exception as error:
            if blame(error) is not Blame.EVENT:
                raise
            rows, queued = _in_parts(connection, projection, batch)
            if not queued:
                _log.error(
                    "batch_failed_whole",
                    projection=projection,
                    error=described(error),
                    remedy="No event of it is at fault alone, and all are written. Correct the fold, or how it gathers.",
                )
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
    if batch.gatherer is not None:
        batch.gatherer.forget()

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

        reads = [one for one in batch.reads() if one.record.position not in batch.held.dropped]
        split = isolate(reads, batch.held.aggregates, attempt, found)
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
    if batch.dead_letters:
        _keep_letters(cursor, batch)
    if batch.decisions is not None:
        guard_rows.write(cursor, batch.decisions)
    faults.reached(projection, faults.Point.AFTER_WRITE_BEFORE_COMMIT)


def _keep_letters(cursor: Cursor, batch: Batch) -> None:
    """Keep the records that are no events, unless they flood the log."""
    letters = _not_dropped(batch)
    if letters:
        first = letters[0]
        what = f"{first.record.position}: {first.path} {first.reason}"
        kept = dead_letters.count(cursor)
        batch.held.breaker.check_letters(kept + len(letters), batch.records, len(letters), what)
        dead_letters.insert(cursor, letters)


def _not_dropped(batch: Batch) -> Sequence[DeadLetter]:
    dropped = batch.held.dropped
    return (
        [one for one in batch.dead_letters if one.record.position not in dropped]
        if dropped
        else batch.dead_letters
    )


def _passed(projection: str, batch: Batch, queued: Sequence[Queued]) -> None:
    """The batch is committed."""
    if batch.decisions is not None:
        batch.decisions.written = True
    newly = offsets_at_fault(queued)
    batch.held.aggregates.update(newly)
    batch.held.breaker.passed(batch.records, len(newly), len(queued), len(_not_dropped(batch)))
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
