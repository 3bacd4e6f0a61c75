"""What people (and the projector's start) may do with generations: order, watch, pause, cancel, accept, go back, drop.

Everything here is a row in ``runtime``; the work is done by whoever holds the rebuild's lock (``execution``). An engine
has to be the projector's: no other role may change generations. Decisions are told on ``millstream.operations`` by the
caller's publisher (``projections.rebuild.events``).
"""

from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, Engine, func, text

from infra.postgres.connect import lock_key
from projections.catalogue import projection as declared
from projections.generations import drop_schema, fingerprint, locked, newest_number, schema_name
from projections.projection import Projection
from projections.rebuild import store
from projections.rebuild.comparing import SHOWN, Comparison, compare_generations, pooled_snapshot
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.listing import GenerationInfo, generation_of, generations_of
from projections.rebuild.lock import lock_name
from projections.rebuild.machine import RebuildState, Step
from projections.rebuild.returning import RolledBack, rollback
from projections.rebuild.store import Rebuild
from projections.rebuild.vectors import unnamed
from schemas.envelope import Position

__all__ = [
    "Comparison",
    "GenerationInfo",
    "Rebuild",
    "RebuildState",
    "RolledBack",
    "accept",
    "cancel",
    "diff",
    "drop_generation",
    "generations_of",
    "order",
    "order_of",
    "pause",
    "rebuilds",
    "resume",
    "rollback",
]

MAX_WORKERS = 64


def order(
    engine: Engine,
    projection: str,
    *,
    until: datetime | None = None,
    until_position: str | None = None,
    workers: int = 1,
    swap: bool = True,
    accept: bool = False,
    ordered_by: str,
    reason: str = "",
) -> Rebuild:
    """Order that ``projection`` is filled anew; a projector that carries its fold takes it up.

    With ``until`` (records appended before; it needs a zone) or ``until_position`` (up to and including that record, and
    elsewhere what was appended no later) the generation shows the past and never becomes live.

    Raises RebuildRefused (one is open already, or the arguments contradict one another); UnknownProjection.
    """
    return order_of(
        engine,
        declared(projection),
        until=until,
        until_position=until_position,
        workers=workers,
        swap=swap,
        accept=accept,
        ordered_by=ordered_by,
        reason=reason,
    )


def order_of(
    engine: Engine,
    one: Projection,
    *,
    until: datetime | None = None,
    until_position: str | None = None,
    workers: int = 1,
    swap: bool = True,
    accept: bool = False,
    ordered_by: str,
    reason: str = "",
) -> Rebuild:
    """As ``order``, for this very fold."""
    _check(one, until, until_position, workers)
    scratch = until is not None or until_position is not None
    with store.one_at_a_time(one.name), locked(engine, one.name) as connection:
        number = newest_number(connection, one.name) + 1
        return store.add(
            connection,
            projection=one.name,
            generation=number,
            schema_name=schema_name(one.name, number),
            version=one.version,
            fingerprint=fingerprint(one),
            until=until,
            until_position=until_position,
            workers=workers,
            swap=swap and not scratch,
            accept=accept,
            ordered_by=ordered_by,
            reason=reason,
        )


def rebuilds(connection: Connection, projection: str | None = None) -> list[Rebuild]:
    """Every rebuild that was ever ordered, the newest first. Any role may ask."""
    return store.every(connection, projection)


def pause(engine: Engine, rebuild_id: int) -> Rebuild:
    """Stop it where it stands, within a second or two. Raises RebuildRefused, NoSuchRebuild."""
    with engine.begin() as connection:
        return store.step(connection, rebuild_id, Step.PAUSE, eta_s=None, events_per_s=0.0)


def resume(engine: Engine, rebuild_id: int) -> Rebuild:
    """Let it go on from its checkpoints. Raises RebuildRefused, NoSuchRebuild."""
    with engine.begin() as connection:
        return store.step(connection, rebuild_id, Step.RESUME, reason="")


def cancel(engine: Engine, rebuild_id: int) -> Rebuild:
    """Give it up. Its schema is dropped: here, or by whoever works on it as soon as they notice.

    Raises RebuildRefused, NoSuchRebuild.
    """
    with engine.begin() as connection:
        found = store.step(connection, rebuild_id, Step.CANCEL, eta_s=None, events_per_s=0.0)
        # Whoever works on it holds the lock, and drops the schema when it sees the state.
        if _nobody_works(connection, found.projection):
            drop_schema(connection, found.schema_name)
    return found


def accept(engine: Engine, rebuild_id: int) -> Rebuild:
    """Agree with what differs, as the row says it now: it catches up and is swapped. Raises RebuildRefused, NoSuchRebuild."""
    with engine.begin() as connection:
        found = store.find(connection, rebuild_id)
        if found.scratch:
            raise RebuildRefused(
                f"generation {found.generation} of {found.projection} shows the past and never becomes live",
                remedy=f"millstream projection rebuild {found.projection}",
            )
        if found.state is RebuildState.FAILED and not found.differences:
            raise RebuildRefused(
                f"rebuild {rebuild_id} of {found.projection} failed, and not because rows differ: {found.reason}",
                remedy=f"millstream projection resume {found.projection}",
            )
        accepted = store.step(
            connection, rebuild_id, Step.ACCEPT, accept=True, accepted_at=func.now(), swap=True, reason=""
        )
        shown = store.Agreement(
            from_generation=accepted.from_generation or 0,
            different=accepted.different,
            differences=accepted.differences,
        )
        return store.write(connection, rebuild_id, accepted=msgspec.to_builtins(shown))


def drop_generation(engine: Engine, projection: str, number: int) -> GenerationInfo:
    """Drop a generation with all its rows; what it was. Raises RebuildRefused, NoSuchGeneration, UnknownProjection."""
    declared(projection)
    with locked(engine, projection) as connection:
        found = generation_of(connection, projection, number)
        if found.live:
            raise RebuildRefused(
                f"generation {number} of {projection} is the live one",
                remedy="Rebuild first, or roll back to another one.",
            )
        if found.filling:
            raise RebuildRefused(
                f"generation {number} of {projection} is being filled",
                remedy=f"millstream projection cancel {projection}",
            )
        forget_kept(connection, projection, number)
        drop_schema(connection, found.schema_name)
        for one in store.every(connection, projection):
            if one.generation == number and one.state in (RebuildState.READY, RebuildState.FAILED):
                store.step(connection, one.id, Step.CANCEL)
    return found


def diff(engine: Engine, projection: str, a: int, b: int, shown: int = SHOWN) -> Comparison:
    """Generation ``b`` against ``a`` in one snapshot, wherever each stands.

    Raises NoSuchGeneration, UnknownProjection.
    """
    one = declared(projection)
    with engine.connect() as connection:
        both = [generation_of(connection, projection, number) for number in (a, b)]
        firsts = [
            unnamed({place: first for place, (first, _) in rebuild.ranges.items()})
            for rebuild in store.every(connection, projection)
            if rebuild.generation in (a, b)
        ]
    # What a generation filled later found expired, it cannot have.
    lost = {
        place: max(each.get(place, 0) for each in firsts)
        for place in {place for each in firsts for place in each}
    }
    at = [unnamed(each.at) for each in both]
    with pooled_snapshot(engine) as session:
        return compare_generations(
            session,
            one,
            (a, both[0].schema_name),
            (b, both[1].schema_name),
            {place: end for place, end in at[0].items() if at[1].get(place) == end},
            {place: first for place, first in lost.items() if first > 0},
            same_vector=at[0] == at[1],
            shown=shown,
        )


def forget_kept(connection: Connection, projection: str, number: int) -> None:
    """Nobody is to keep this generation current any more."""
    connection.execute(
        text("delete from runtime.kept_generations where projection = :projection and generation = :number"),
        {"projection": projection, "number": number},
    )


def sweep_cancelled(engine: Engine, rebuilds: list[Rebuild]) -> None:
    """Drop what is left of cancelled rebuilds whose workers have died."""
    for one in rebuilds:
        if one.state is not RebuildState.CANCELLED:
            continue
        with engine.begin() as connection:
            there = connection.scalar(
                text("select 1 from pg_namespace where nspname = :name"), {"name": one.schema_name}
            )
            if there and _nobody_works(connection, one.projection):
                drop_schema(connection, one.schema_name)


def _nobody_works(connection: Connection, projection: str) -> bool:
    key = lock_key(lock_name(projection))
    return bool(connection.scalar(text(f"select pg_try_advisory_xact_lock({key})")))


def _check(one: Projection, until: datetime | None, until_position: str | None, workers: int) -> None:
    if until is not None and until_position is not None:
        raise RebuildRefused("a time and a position were given", remedy="Give one of both.")
    if until is not None and until.tzinfo is None:
        raise RebuildRefused(f"{until.isoformat()} has no zone", remedy="Write 2026-03-01T00:00:00Z, say.")
    if until is not None and until > datetime.now(UTC):
        raise RebuildRefused(
            f"{until.isoformat()} is not past yet",
            remedy="Give a time before now, or none for a rebuild of the present.",
        )
    if not 1 <= workers <= MAX_WORKERS:
        raise RebuildRefused(f"{workers} workers were asked for", remedy=f"Ask for 1 to {MAX_WORKERS}.")
    if until_position is None:
        return
    try:
        position = Position.parse(until_position)
    except ValueError as error:
        raise RebuildRefused(str(error), remedy="Write millstream.results/3@1200, say.") from error
    if position.topic not in {topic.value for topic in one.topics}:
        raise RebuildRefused(
            f"{one.name} does not read {position.topic}",
            remedy="It reads " + ", ".join(topic.value for topic in one.topics) + ".",
        )
