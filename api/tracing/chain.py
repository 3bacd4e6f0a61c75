"""The chain of causes over ``event_index``: what led to an event, and what it caused, within bounds.

Events name their cause by id alone, and the index keeps a hash of it. So where two sources use the same id, an effect stands
below both. Every walk ends: an id is followed once.
"""

from typing import Final

import msgspec
from sqlalchemy import Connection

from api.tracing.trace import Counted, Linked
from projections.event_index.fold import said
from projections.event_index.queries import ChainedEvent, caused_by, counts_caused_by, hashed_as
from projections.judged import verdict
from schemas.envelope import Position

COUNTED_AT_MOST: Final = 10_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a chain is shown: levels down, events below, events above."""

    depth: int = 6
    effects: int = 50
    causes: int = 20


class Effects(msgspec.Struct, frozen=True):
    """Each event below its cause, children in the order of append; ``more`` when bounds cut something off."""

    events: list[Linked]
    more: bool


def causes(connection: Connection, causation_id: str | None, bounds: Bounds) -> list[Linked]:
    """What led to an event with this causation id, the nearest first. A cause that is not indexed is known by name alone."""
    found: list[Linked] = []
    wanted = said(causation_id) if causation_id else None
    seen: set[int] = set()
    while wanted is not None and wanted not in seen and len(found) < bounds.causes:
        seen.add(wanted)
        rows = hashed_as(connection, wanted, 1)
        if not rows:
            if not found and causation_id:
                found.append(Linked(depth=1, id=causation_id))
            break
        found.append(_linked(connection, rows[0], len(found) + 1, None))
        wanted = rows[0].cause
    return found


def effects(connection: Connection, event_id: str, position: Position, bounds: Bounds) -> Effects:
    """What the event at ``position`` has caused, level by level down to the bounds."""
    root = said(event_id)
    below: dict[int, list[ChainedEvent]] = {}
    level, seen, left, more = [root], {root}, bounds.effects, False
    for _ in range(bounds.depth):
        if not level or more:
            break
        rows = caused_by(connection, level, left + 1)
        more = len(rows) > left
        rows = rows[:left]
        left -= len(rows)
        for row in rows:
            if row.cause is not None:
                below.setdefault(row.cause, []).append(row)
        level = [one for one in dict.fromkeys(row.said for row in rows) if one not in seen]
        seen.update(level)
    more = more or (bool(level) and bool(caused_by(connection, level, 1)))
    listed: list[Linked] = []
    _list(connection, below, root, position, 1, listed)
    return Effects(listed, more)


def effect_counts(connection: Connection, event_id: str) -> list[Counted]:
    """What the event has caused directly, by type."""
    found = counts_caused_by(connection, said(event_id), COUNTED_AT_MOST)
    at_least = sum(found.values()) >= COUNTED_AT_MOST
    return [Counted(name, count, at_least) for name, count in found.items()]


def _list(
    connection: Connection,
    below: dict[int, list[ChainedEvent]],
    cause: int,
    position: Position,
    depth: int,
    listed: list[Linked],
) -> None:
    """Each once: what can be reached on two ways stands below the first."""
    for row in below.pop(cause, ()):
        listed.append(_linked(connection, row, depth, position))
        _list(connection, below, row.said, row.position, depth + 1, listed)


def _linked(connection: Connection, row: ChainedEvent, depth: int, cause: Position | None) -> Linked:
    return Linked(
        depth=depth,
        id=row.event_id,
        source=row.source,
        type=row.type,
        subject=row.subject,
        position=row.position,
        appended_at=row.appended_at,
        caused_by=cause,
        verdict=verdict(connection, row.position, (row.source, row.event_id)),
    )
