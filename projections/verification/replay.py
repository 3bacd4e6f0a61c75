"""The past once more: the log up to a vector, through the intake and the transaction of the live runner."""

import time
from collections.abc import Callable, Mapping
from typing import Final, cast

from psycopg import sql

from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from projections.generations import Generation
from projections.projection import Projection
from projections.runner.applying import apply
from projections.runner.bound import Bound
from projections.runner.checkpoint import Connection, Partition
from projections.runner.deriving import Deriving
from projections.runner.intake import Intake
from projections.verification.errors import CannotVerify

Report = Callable[[int, int], None]
"""(records read, of all)."""

_LINGER_S: Final = 0.05
_TAKE_TIMEOUT_S: Final = 0.2
_SILENCE_S: Final = 60.0
"""How long the broker may give nothing while something is left to read."""


def replay(
    settings: Settings,
    projection: Projection,
    generation: Generation,
    until: Mapping[Partition, int],
    starts: Mapping[Partition, int],
    *,
    deadline_s: float,
    report: Report,
) -> int:
    """Fold everything from ``starts`` up to ``until`` into ``generation``, and derive what follows; the number of records.

    ``deadline_s`` is on the monotonic clock. Raises CannotVerify, and what the runner raises.
    """

    def place() -> Connection:
        return _on_schema(settings, generation.schema_name)

    of_all = sum(end - starts[partition] for partition, end in until.items())
    left = {partition for partition, end in until.items() if starts[partition] < end}
    records, heard_s = 0, time.monotonic()
    report(0, of_all)
    intake = Intake(settings, projection, generation, "", place, _LINGER_S, Bound(until))
    with place() as connection:
        intake.start()
        try:
            while left:
                batch = intake.take(_TAKE_TIMEOUT_S)
                now_s = time.monotonic()
                if batch is None:
                    _check_running(connection)
                    if now_s - heard_s > _SILENCE_S:
                        raise CannotVerify(
                            f"the broker gave nothing for {_SILENCE_S:g} s, and {len(left)} partitions are not read to the end",
                            remedy="See that Kafka runs (millstream stack status), then verify again.",
                        )
                else:
                    apply(connection, projection.name, batch)
                    records += batch.records
                    left -= {
                        (step.topic, step.partition)
                        for step in batch.moves
                        if step.next_offset >= until[step.topic, step.partition]
                    }
                    heard_s = now_s
                    report(records, of_all)
                if now_s > deadline_s and left:
                    raise CannotVerify(
                        f"the time is over: {records:,} of {of_all:,} records are replayed",
                        remedy="Allow more time (--timeout), or verify one projection at a time.",
                    )
        finally:
            intake.close()
        if projection.derive is not None:
            Deriving(projection.name, generation.schema_name, projection.derive, connection).all()
    return records


def _check_running(connection: Connection) -> None:
    row = connection.execute(
        "select topic, partition, state, state_reason from checkpoints where state <> 'RUNNING' limit 1"
    ).fetchone()
    if row is not None:
        topic, partition, state, reason = row
        raise CannotVerify(
            f"the replay stops at {topic}/{partition}: {state} {reason}",
            remedy="Verify with the build that the projector runs.",
        )


def _on_schema(settings: Settings, schema: str) -> Connection:
    connection = connect(settings, Role.PROJECTOR, autocommit=True, name="verify")
    connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
    connection.execute("set synchronous_commit to off")  # a crash drops these tables anyway
    return cast(Connection, connection)
