"""What became of a record: the verdict that sentence 5 of the design speaks of.

A guarded event has the verdict that its topic's owner projection wrote down. Any other event is accepted once every projection of
its topic has passed it, rejected when it is a dead letter, and a duplicate when the same source and id stand before it: its
fold absorbs that. What says how things stand now is the exception: said again, it is applied again.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection, text

from projections.catalogue import EVENT_INDEX, PROJECTIONS
from projections.event_index.fold import said as hash_of
from projections.generations import LiveGeneration, live_generations
from projections.runner.guard_rows import ACCEPTED_OUTCOME, DUPLICATE_OUTCOME, REJECTED_OUTCOME
from schemas.envelope import Event, Position
from schemas.errors import MillstreamError

PENDING: Final = "PENDING"
ACCEPTED: Final = ACCEPTED_OUTCOME
REJECTED: Final = REJECTED_OUTCOME
DUPLICATE: Final = DUPLICATE_OUTCOME
NO_EVENT: Final = "the record is no event that this system reads; operators see why in the dead letters"
"""The reason where the one who asks may not read dead letters."""

_OWNER: Final = {topic.value: one.name for one in PROJECTIONS for topic in one.owns}

APPLIED_AGAIN: Final = ("millstream.repository.pushed", "millstream.repository.clone_failed")
"""Unguarded types of which the last record on the log holds, a repeated one too."""
_PASSED: Final = """
select next_offset from "{schema}".checkpoints where topic = :topic and partition = :partition
"""
_VERDICT: Final = """
select outcome, reason_code, reason, version, of_offset from "{schema}".verdicts
where topic = :topic and partition = :partition and "offset" = :offset
"""
_DEAD_LETTER: Final = """
select path from "{schema}".dead_letters
where topic = :topic and partition = :partition and "offset" = :offset
"""
_MAY_READ_REASONS: Final = """select has_column_privilege('"{schema}".dead_letters', 'reason', 'select')"""
_DEAD_LETTER_REASON: Final = """
select reason from "{schema}".dead_letters
where topic = :topic and partition = :partition and "offset" = :offset
"""
_EARLIER: Final = """
select e."offset" from "{index}".events e
where e.said = :said and e.source = :source and e.event_id = :event_id
  and e.topic = :topic and e.partition = :partition and e."offset" < :offset and e.type <> all(:applied_again)
  and not exists (
    select from "{schema}".dead_letters d
    where d.topic = e.topic and d.partition = e.partition and d."offset" = e."offset"
  )
order by e."offset" limit 1
"""
"""The first record with the same source and id on this partition (one key, one partition) that was an event, and is not applied again."""
_NOT_ACCEPTED: Final = """
select k.topic, k.partition, k."offset"
from unnest(cast(:topics as text[]), cast(:partitions as int[]), cast(:offsets as bigint[]))
  as k(topic, partition, "offset")
left join "{schema}".checkpoints c on c.topic = k.topic and c.partition = k.partition
left join "{schema}".verdicts v on v.topic = k.topic and v.partition = k.partition and v."offset" = k."offset"
where c.next_offset is null or c.next_offset <= k."offset" or v.outcome <> 'ACCEPTED'
"""
"""Positions that the owner has not passed, or has not accepted; an unguarded event on its topic has no verdict and counts."""
_ACCEPTED_BEFORE: Final = """
select partition, "offset" from "{schema}".guard_events
where topic = :topic and aggregate = :aggregate and source = :source and event_id = :event_id
"""


class NotOwned(MillstreamError):
    """An agent asked for the verdict of a topic that nobody judges."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is PENDING, ACCEPTED, REJECTED or DUPLICATE.

    ``version`` is the aggregate's with this event (guarded ones that were accepted), ``of`` the accepted event that a
    duplicate repeats, ``reason`` why it was rejected, in words, and ``reason_code`` that for programs (guarded ones).
    """

    state: str
    reason: str = ""
    reason_code: str | None = None
    version: int | None = None
    of: Position | None = None


def owner_of(topic: str) -> str | None:
    """The projection that writes a guarded topic's verdicts: who asks for one waits for it. None for an open topic."""
    return _OWNER.get(topic)


def verdict(connection: Connection, position: Position, said: tuple[str, str] | None = None) -> Verdict:
    """The verdict on the record at ``position`` as it is now. Any role may ask; ``app`` is not told a dead letter's reason.

    ``said`` (source, id) of the event, where the caller knows them: without it an event that no guard judges is never a
    DUPLICATE. How far back a repeat is seen is the horizon of the event index.
    """
    live = live_generations(connection)
    owner = _OWNER.get(position.topic)
    if owner is not None:
        if owner not in live or not _passed(connection, live[owner], position):
            return Verdict(state=PENDING)
        judged = _judged(connection, live[owner], position)
        if judged is not None:
            return judged
        names = [owner, EVENT_INDEX.name] if said is not None else [owner]
    else:
        names = [one.name for one in PROJECTIONS if position.topic in one.topics]
    if not all(name in live and _passed(connection, live[name], position) for name in names):
        return Verdict(state=PENDING)
    readers = [live[name] for name in names if name != EVENT_INDEX.name]
    for one in readers:
        reason = _dead_letter(connection, one, position)
        if reason is not None:
            return Verdict(state=REJECTED, reason=reason)
    if said is not None and EVENT_INDEX.name in names and readers:
        of = _earlier(connection, live[EVENT_INDEX.name], readers[0], position, said)
        if of is not None:
            return Verdict(state=DUPLICATE, of=of)
    return Verdict(state=ACCEPTED)


def accepted_before(connection: Connection, event: Event) -> Position | None:
    """Where the guarded event stands if its topic's owner has accepted it, however long ago; None else, or where nobody judges it."""
    topic = event.type.topics[0].value
    owner = live_generations(connection).get(_OWNER.get(topic, ""))
    if owner is None or not event.type.guarded:
        return None
    row = connection.execute(
        text(_ACCEPTED_BEFORE.format(schema=owner.schema_name)),
        {"topic": topic, "aggregate": event.key, "source": event.source, "event_id": event.id},
    ).first()
    return None if row is None else Position(topic, *row)


def accepted_of(connection: Connection, positions: Iterable[Position]) -> set[Position]:
    """Those of the events on guarded topics that an agent may act on, after it has waited for the topic's owner.

    Left out are rejected ones, duplicates, and what the owner has not passed yet. Raises NotOwned.
    """
    wanted: dict[str, list[Position]] = defaultdict(list)
    for position in positions:
        owner = _OWNER.get(position.topic)
        if owner is None:
            raise NotOwned(
                f"{position.topic} is not guarded: nobody judges its events",
                remedy="Ask for verdicts of guarded topics only.",
            )
        wanted[owner].append(position)
    live = live_generations(connection) if wanted else {}
    found: set[Position] = set()
    for owner, asked in wanted.items():
        if owner not in live:
            continue
        refused = connection.execute(
            text(_NOT_ACCEPTED.format(schema=live[owner].schema_name)),
            {
                "topics": [one.topic for one in asked],
                "partitions": [one.partition for one in asked],
                "offsets": [one.offset for one in asked],
            },
        )
        found.update(set(asked) - {Position(*row) for row in refused})
    return found


def _where(position: Position) -> dict[str, object]:
    return msgspec.structs.asdict(position)


def _passed(connection: Connection, generation: LiveGeneration, position: Position) -> bool:
    found = connection.scalar(text(_PASSED.format(schema=generation.schema_name)), _where(position))
    return found is not None and found > position.offset


def _judged(connection: Connection, generation: LiveGeneration, position: Position) -> Verdict | None:
    row = connection.execute(text(_VERDICT.format(schema=generation.schema_name)), _where(position)).first()
    if row is None:
        return None
    outcome, reason_code, reason, version, of_offset = row
    return Verdict(
        state=outcome,
        reason=reason or "",
        reason_code=reason_code,
        version=version,
        of=None if of_offset is None else Position(position.topic, position.partition, of_offset),
    )


def _earlier(
    connection: Connection,
    index: LiveGeneration,
    reader: LiveGeneration,
    position: Position,
    said: tuple[str, str],
) -> Position | None:
    source, event_id = said
    offset = connection.scalar(
        text(_EARLIER.format(index=index.schema_name, schema=reader.schema_name)),
        {
            **_where(position),
            "said": hash_of(event_id),
            "source": source,
            "event_id": event_id,
            "applied_again": list(APPLIED_AGAIN),
        },
    )
    return None if offset is None else Position(position.topic, position.partition, offset)


def _dead_letter(connection: Connection, generation: LiveGeneration, position: Position) -> str | None:
    """Why the record is no event, as far as the role may know; None when it is one."""
    schema = generation.schema_name
    row = connection.execute(text(_DEAD_LETTER.format(schema=schema)), _where(position)).first()
    if row is None:
        return None
    reason = NO_EVENT
    if connection.scalar(text(_MAY_READ_REASONS.format(schema=schema))):
        reason = connection.scalar(text(_DEAD_LETTER_REASON.format(schema=schema)), _where(position)) or ""
    return f"{row.path} {reason}".strip()
