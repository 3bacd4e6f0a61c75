"""One batch, one transaction: what the runner does with the live log, and a replay with the past."""

from projections.runner import checkpoint, dead_letters, faults, guard_rows, horizon
from projections.runner.batch import Batch
from projections.runner.checkpoint import Connection


def apply(connection: Connection, projection: str, batch: Batch) -> int:
    """Commit {compare-and-set of the checkpoints, rows, dead letters, the guard's rows and verdicts}; the number of rows.

    The connection has the generation's schema as its search path. Raises Fenced, and what the writer raises.
    """
    faults.reached(projection, faults.Point.BEFORE_WRITE)
    if faults.has(faults.Bug.OFFSETS_FIRST):
        with connection.transaction(), connection.cursor() as cursor:
            checkpoint.move(cursor, batch.moves)
    with connection.transaction(), connection.cursor() as cursor:
        if not faults.has(faults.Bug.OFFSETS_FIRST):
            checkpoint.move(cursor, batch.moves)
        rows = batch.write(cursor)
        horizon.remove(cursor, batch.removals)
        dead_letters.insert(cursor, batch.dead_letters)
        if batch.decisions is not None:
            guard_rows.write(cursor, batch.decisions)
        faults.reached(projection, faults.Point.AFTER_WRITE_BEFORE_COMMIT)
    if batch.decisions is not None:
        batch.decisions.written = True
    faults.reached(projection, faults.Point.AFTER_COMMIT_BEFORE_KAFKA_COMMIT)
    return rows
