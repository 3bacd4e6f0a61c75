"""The guard's rows: read set-wise for a batch, written in its transaction.

The statements name no schema: the connection has the generation's schema as its search path.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from projections.projection import Cursor
from projections.runner.checkpoint import Connection
from projections.runner.guards import Decision, Decisions, Known, Said
from schemas.legality import Accepted, AggregateState, Duplicate, Rejected

LOAD: Final = """
select g.version, g.lifecycle, e."offset"
from unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[])
  with ordinality as k(topic, partition, aggregate, source, event_id, place)
left join guards g on g.topic = k.topic and g.partition = k.partition and g.aggregate = k.aggregate
left join guard_events e on e.topic = k.topic and e.partition = k.partition and e.aggregate = k.aggregate
  and e.source = k.source and e.event_id = k.event_id
order by k.place
"""

STATES: Final = """
insert into guards as t (topic, partition, aggregate, version, lifecycle)
select * from unnest(%s::text[], %s::int[], %s::text[], %s::bigint[], %s::text[]) order by 1, 2, 3
on conflict (topic, partition, aggregate) do update set version = excluded.version, lifecycle = excluded.lifecycle
"""

ACCEPTED: Final = """
insert into guard_events (topic, partition, aggregate, source, event_id, "offset", version)
select * from unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
on conflict do nothing
"""

VERDICTS: Final = """
insert into verdicts (topic, partition, "offset", outcome, reason_code, reason, version, of_offset)
select * from unnest(%s::text[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
on conflict do nothing
"""

ACCEPTED_OUTCOME: Final = "ACCEPTED"
REJECTED_OUTCOME: Final = "REJECTED"
DUPLICATE_OUTCOME: Final = "DUPLICATE"


class GuardRows:
    """Loads what a guard asks for, over a connection of its own that is opened when the first guarded event comes."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def __call__(self, asked: Sequence[Said]) -> Mapping[Said, Known]:
        """The rows for ``asked``. Raises psycopg.Error."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        rows = self._connection.execute(
            LOAD,
            (
                [aggregate[0] for aggregate, _, _ in asked],
                [aggregate[1] for aggregate, _, _ in asked],
                [aggregate[2] for aggregate, _, _ in asked],
                [source for _, source, _ in asked],
                [event_id for _, _, event_id in asked],
            ),
        ).fetchall()
        return {said: _known(*row) for said, row in zip(asked, rows, strict=True)}

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def write(cursor: Cursor, decisions: Decisions) -> None:
    """Keep what was decided, in the transaction of the batch."""
    states = decisions.states()
    if states:
        cursor.execute(
            STATES,
            _columns([(*aggregate, state.version, state.lifecycle) for aggregate, state in states.items()]),
        )
        cursor.execute(
            ACCEPTED,
            _columns(
                [
                    (*one.said[0], *one.said[1:], one.position.offset, one.judgement.state.version)
                    for one in decisions.all
                    if isinstance(one.judgement, Accepted)
                ]
            ),
        )
    verdicts = [_verdict(one) for one in decisions.all if one.position.topic in decisions.owned]
    if verdicts:
        cursor.execute(VERDICTS, _columns(verdicts))


def _verdict(one: Decision) -> tuple[object, ...]:
    place = (one.position.topic, one.position.partition, one.position.offset)
    match one.judgement:
        case Accepted(state=state):
            return (*place, ACCEPTED_OUTCOME, None, None, state.version, None)
        case Rejected(reason_code=code, reason=reason):
            return (*place, REJECTED_OUTCOME, code.value, reason, None, None)
        case Duplicate(of=of):
            return (*place, DUPLICATE_OUTCOME, None, None, None, of)


def _known(version: object, lifecycle: object, of: object) -> Known:
    state = AggregateState(version, str(lifecycle)) if isinstance(version, int) else AggregateState()
    return Known(state, of if isinstance(of, int) else None)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
