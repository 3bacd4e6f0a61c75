"""What is still owed for an event, or for the aggregate that it is about: the registry's own questions, asked for one of them."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from api.tracing.trace import Due
from projections.obligations import queries
from schemas.envelope import Position
from streams.obligations.obligation import Obligation, Owed
from streams.obligations.registry import OBLIGATIONS

SHOWN_AT_MOST: Final = 20


class Owing(msgspec.Struct, frozen=True):
    """``more``: there are others for the same aggregate."""

    due: list[Due]
    more: bool


def owed(
    connection: Connection,
    live: Collection[str],
    position: Position,
    event_id: str | None,
    aggregates: Collection[str],
) -> Owing:
    """Open and given up obligations of this event, then those of its ``aggregates`` (ids as text).

    ``connection`` is inside a snapshot over the projections ``live``; an obligation whose projections are not there
    yet is left out.
    """
    numbers = {int(one) for one in aggregates if one.isascii() and one.isdigit() and len(one) < 17}
    found: list[Due] = []
    for one in OBLIGATIONS:
        if not {*one.closing, "obligations"} <= set(live):
            continue
        concerned = [
            each
            for each in one.owed(connection)
            if each.opened == position or each.subject == event_id or each.aggregate_id in numbers
        ]
        found += [_due(one, each, position, event_id) for each in _open(connection, one, concerned)]
    found += _failures(connection, live, numbers, event_id)
    found.sort(key=lambda due: not due.of_this)
    return Owing(found[:SHOWN_AT_MOST], len(found) > SHOWN_AT_MOST)


def _open(connection: Connection, obligation: Obligation, concerned: Sequence[Owed]) -> Sequence[Owed]:
    """Those that are open indeed, with the attempt that was asked for last; those given up stand elsewhere."""
    if obligation.unmet is not None and concerned:
        unmet = obligation.unmet(connection, concerned)
        concerned = [one for one in concerned if one.key in unmet]
    if not concerned:
        return ()
    said = queries.again(connection, obligation.name, {one.aggregate_id for one in concerned})
    found: list[Owed] = []
    for one in concerned:
        again = said.get((one.aggregate_id, one.subject))
        if again is None or not again.failed:
            attempt = one.attempt if again is None else max(one.attempt, again.attempt)
            found.append(msgspec.structs.replace(one, attempt=attempt))
    return found


def _due(obligation: Obligation, one: Owed, position: Position, event_id: str | None) -> Due:
    owes = obligation.owes.format(aggregate_id=one.aggregate_id, subject=one.subject)
    times = "" if one.attempt == 1 else f"; asked for {one.attempt} times"
    return Due(
        obligation=obligation.name,
        agents=obligation.agents,
        subject=one.subject,
        attempt=one.attempt,
        attempts=obligation.attempts,
        opened=one.opened,
        of_this=one.opened == position or (event_id is not None and one.subject == event_id),
        message=f"{owes} is owed by {' or '.join(obligation.agents)}, within {obligation.deadline_s:g} s of its passing {one.opened}{times}.",
    )


def _failures(
    connection: Connection, live: Collection[str], numbers: Collection[int], event_id: str | None
) -> list[Due]:
    if "obligations" not in live or not numbers:
        return []
    by_name = {one.name.value: one for one in OBLIGATIONS}
    return [
        Due(
            obligation=one.obligation,
            agents=by_name[one.obligation].agents if one.obligation in by_name else (),
            subject=one.subject,
            attempt=one.attempts,
            attempts=one.attempts,
            opened=None,
            of_this=event_id is not None and one.subject == event_id,
            failed_at=one.failed_at,
            message=one.message,
        )
        for one in queries.failures(connection, SHOWN_AT_MOST + 1, numbers)
    ]
