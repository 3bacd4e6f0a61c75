"""One event followed through the whole system: log, index, guards, projections, agents, effects, obligations."""

from typing import Final

import msgspec
from sqlalchemy import Connection

from api.event_status import INDEX, INDEX_DAYS, event_status, told
from api.logged import LoggedEvents
from api.operating import Operating
from api.tracing import chain, words
from api.tracing.asked import Asked
from api.tracing.chain import Bounds
from api.tracing.look import look_at
from api.tracing.owed import owed
from api.tracing.passages import group_passages, passages
from api.tracing.trace import Look, Trace
from infra.kafka.admin import KafkaAdmin, Watermarks
from infra.kafka.errors import TopicMissing
from projections.event_index.queries import said_with
from projections.generations import live_generations
from projections.judged import verdict
from projections.reading import ALL, Snapshot
from schemas.envelope import Position

SOURCES_AT_MOST: Final = 200
"""Records with one id that are looked at, to tell which sources used it."""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """The record that is meant. ``id`` and ``source`` are None where it has no envelope."""

    position: Position
    look: Look | None
    id: str | None
    source: str | None
    type: str | None
    subject: str | None
    other_sources: list[str] = []


def trace(operating: Operating, log: LoggedEvents, asked: Asked, bounds: Bounds) -> Trace:
    """Everything that is known, for a site admin. Raises KafkaError, MustStop, DatabaseUnreachable, SQLAlchemyError."""
    with operating.reader.snapshot(()) as first:
        names = [name for name in ALL if name in live_generations(first.connection)]
    with operating.reader.snapshot(names) as snapshot:
        if asked.position is not None:
            found = _at(operating.admin, log, asked.position)
        else:
            found = _with_id(snapshot, log, asked)
        if found is None:
            return Trace(asked=str(asked), found=False, words=_missing(snapshot, operating.admin, asked))
        return _traced(snapshot, operating.admin, asked, found, bounds)


def status_of(connection: Connection, asked: Asked) -> Trace:
    """What anybody may know: the verdict, as ``eventStatus`` says it. ``connection`` is in a snapshot over its ``READ``.

    Of a position nothing is told: it would show that something of a hidden repository stands there.
    """
    if asked.position is not None:
        return Trace(asked=str(asked), found=False, status_only=True, words=[words.BY_POSITION])
    rows = [
        one
        for one in told(connection, said_with(connection, asked.id or "", SOURCES_AT_MOST), everything=False)
        if asked.source in (None, one.source)
    ]
    known = event_status(connection, rows[-1].source, rows[-1].event_id, everything=False) if rows else None
    if known is None:
        return Trace(asked=str(asked), found=False, words=words.never_came(asked, INDEX_DAYS, None)[:1])
    newest = known.newest
    newest = next((one for one in known.publications if one.position == newest.verdict.of), newest)
    return Trace(
        asked=str(asked),
        found=True,
        status_only=True,
        words=words.status(newest.verdict, newest.position),
        id=known.id,
        source=known.source,
        type=newest.type,
        subject=newest.subject,
        position=newest.position,
        appended_at=newest.appended_at,
        verdict=newest.verdict,
        publications=known.publications,
    )


def _at(admin: KafkaAdmin, log: LoggedEvents, position: Position) -> _Found | None:
    marks = _marks(admin, position)
    if marks is None or not marks.start <= position.offset < marks.end:
        return None  # reading would wait for a partition, or a record, that may never come
    record = log.record(position)
    if record is None:
        return None
    look = look_at(record)
    return _Found(
        position=position,
        look=look,
        id=look.id,
        source=look.source,
        type=look.type,
        subject=look.subject or look.key,
    )


def _with_id(snapshot: Snapshot, log: LoggedEvents, asked: Asked) -> _Found | None:
    """The newest record with this id, from this source where it was named; where it only repeats one, the one that counted."""
    if asked.id is None or INDEX not in snapshot.generations:
        return None
    every = said_with(snapshot.connection, asked.id, SOURCES_AT_MOST)
    rows = [one for one in every if asked.source in (None, one.source)]
    if not rows:
        return None
    newest = rows[-1]
    judged = verdict(snapshot.connection, newest.position, (newest.source, newest.event_id))
    newest = next((one for one in rows if one.position == judged.of), newest)
    record = log.record(newest.position)
    return _Found(
        position=newest.position,
        look=None if record is None else look_at(record),
        id=newest.event_id,
        source=newest.source,
        type=newest.type,
        subject=newest.subject,
        other_sources=sorted({one.source for one in every} - {newest.source}),
    )


def _traced(snapshot: Snapshot, admin: KafkaAdmin, asked: Asked, found: _Found, bounds: Bounds) -> Trace:
    connection, position, look = snapshot.connection, found.position, found.look
    said = (found.source, found.id) if found.source and found.id else None
    judged = verdict(connection, position, said)
    indexed = said is not None and INDEX in snapshot.generations
    known = (
        event_status(connection, said[0], said[1], everything=True) if said is not None and indexed else None
    )
    appended_at = look.appended_at if look is not None else None
    if known is not None and appended_at is None:
        appended_at = next((one.appended_at for one in known.publications if one.position == position), None)
    passed = passages(
        connection, snapshot.generations, position, None if look is None else look.reading, judged
    )
    groups = group_passages(admin, position)
    counted = judged.of or position
    repeats = [
        one.position
        for one in (known.publications if known is not None else ())
        if one.verdict.of == position
    ]
    caused = chain.effects(connection, found.id, counted, bounds) if found.id and indexed else None
    counts = chain.effect_counts(connection, found.id) if found.id and indexed else []
    aggregates = {text for text in (found.subject, look.key if look is not None else None) if text}
    due = owed(connection, set(snapshot.generations), position, found.id, aggregates)
    return Trace(
        asked=str(asked),
        found=True,
        words=words.in_words(position, appended_at, look, judged, passed, groups, counts, due.due, repeats),
        id=found.id,
        source=found.source,
        type=found.type,
        subject=found.subject,
        position=position,
        appended_at=appended_at,
        verdict=judged,
        publications=known.publications if known is not None else [],
        other_sources=found.other_sources,
        look=look,
        passages=passed,
        groups=groups,
        causes=chain.causes(connection, look.causation_id if look is not None else None, bounds)
        if indexed
        else [],
        effects=caused.events if caused is not None else [],
        effect_counts=counts,
        more_effects=caused is not None and caused.more,
        owed=due.due,
        more_owed=due.more,
    )


def _missing(snapshot: Snapshot, admin: KafkaAdmin, asked: Asked) -> list[str]:
    if asked.position is not None:
        return words.not_there(asked.position, _marks(admin, asked.position))
    fresh = snapshot.freshness().get(INDEX)
    return words.never_came(asked, INDEX_DAYS, fresh)


def _marks(admin: KafkaAdmin, position: Position) -> Watermarks | None:
    try:
        return admin.watermarks(position.topic).get(position.partition)
    except TopicMissing:
        return None
