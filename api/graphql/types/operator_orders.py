"""Orders to redrive and to drop: the mutations, and what became of an order."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from ariadne import MutationType, ObjectType, QueryType

from api.commands.dead_letters import drops, redrives
from api.commands.errors import InputRefused
from api.graphql.types.admin import require_site_admin
from api.graphql.types.dead_letters import filter_of, position_of
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, write
from projections.catalogue import UnknownProjection
from projections.catalogue import projection as declared
from projections.dead_letters import listing
from projections.dead_letters.filters import Filter, Kind
from projections.dead_letters.operators import as_operator
from projections.dead_letters.outcomes import Carried, carried, is_done
from projections.generations import live_generations
from projections.operations import queries
from projections.operations.fold import DROP, REDRIVE
from schemas.envelope import Position
from schemas.events import AggregatePlace, DropOrdered, RecordPlace, RedriveOrdered
from schemas.operations.events import MOST_AT_ONCE
from schemas.topics import Topic

_POLL_S: Final = 0.25

query = QueryType()
mutation = MutationType()
outcome_type = ObjectType("OperatorOutcome")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """``OperatorOrder``."""

    position: str | None
    projection: str
    dry_run: bool
    done: bool
    outcomes: Sequence[Carried]


@query.field("operatorOrder")
def resolve_order(
    _: object, info: Info, position: str, min_position: list[str] | None = None
) -> Order | None:
    require_site_admin(info)
    at = position_of(position, "position")
    if at.topic != Topic.OPERATIONS.value:
        raise InputRefused("position", f"orders stand on {Topic.OPERATIONS.value}")
    return _order(info, at)


@mutation.field("redriveAggregates")
def resolve_redrive(
    _: object,
    info: Info,
    projection: str,
    aggregates: Sequence[Mapping[str, object]],
    dry_run: bool = False,
    reason: str | None = None,
) -> Order:
    require_site_admin(info)
    _known(projection)
    places = [msgspec.convert(dict(one), AggregatePlace) for one in aggregates]
    if not 0 < len(places) <= MOST_AT_ONCE:
        raise InputRefused("aggregates", f"name 1 to {MOST_AT_ONCE:,}")
    (order,) = redrives(
        {projection: places},
        ordered_by=operation_of(info).user.name,
        reason=reason or "",
        dry_run=dry_run,
    )
    return _said(info, order)


@mutation.field("redriveAll")
def resolve_redrive_all(
    _: object,
    info: Info,
    projection: str,
    filter: Mapping[str, object] | None = None,  # noqa: A002 - as the schema calls it
    dry_run: bool = False,
    reason: str | None = None,
) -> Order:
    require_site_admin(info)
    _known(projection)
    wanted = msgspec.structs.replace(
        filter_of(filter), projections=(projection,), kind=Kind.QUARANTINED, waiting=False
    )
    connection = operation_of(info).reads.snapshot.connection
    live = live_generations(connection)
    with as_operator(connection):
        found = listing.entries(connection, live, wanted, first=MOST_AT_ONCE)
    places = listing.aggregates(found)
    if not places:
        return Order(position=None, projection=projection, dry_run=dry_run, done=True, outcomes=[])
    (order,) = redrives(places, ordered_by=operation_of(info).user.name, reason=reason or "", dry_run=dry_run)
    return _said(info, order)


@mutation.field("dropRecords")
def resolve_drop(
    _: object,
    info: Info,
    projection: str,
    positions: Sequence[str],
    reason: str,
    dry_run: bool = False,
) -> Order:
    require_site_admin(info)
    _known(projection)
    if not reason.strip():
        raise InputRefused("reason", "say why: it is kept for ever")
    wanted = [position_of(text, f"positions[{place}]") for place, text in enumerate(positions)]
    if not 0 < len(wanted) <= MOST_AT_ONCE:
        raise InputRefused("positions", f"name 1 to {MOST_AT_ONCE:,}")
    places = [RecordPlace(topic=at.topic, partition=at.partition, offset=at.offset) for at in wanted]
    (order,) = drops({projection: places}, ordered_by=operation_of(info).user.name, reason=reason)
    if dry_run:
        return _rehearsed(info, order, wanted)
    return _said(info, order, check=wanted)


def _rehearsed(info: Info, order: DropOrdered, wanted: Sequence[Position]) -> Order:
    """What dropping would do, without an order."""
    missing = _not_aside(info, order.projection, wanted)
    return Order(
        position=None,
        projection=order.projection,
        dry_run=True,
        done=True,
        outcomes=[
            Carried(
                topic=at.topic,
                partition=at.partition,
                aggregate="",
                offset=at.offset,
                outcome="REFUSED" if at in missing else "DROPPED",
                folded=0,
                waiting=0,
                at_fault=None,
                reason="it is neither a dead letter nor in quarantine" if at in missing else "",
                trace=None,
            )
            for at in wanted
        ],
    )


def _said(info: Info, order: RedriveOrdered | DropOrdered, check: Sequence[Position] = ()) -> Order:
    """Publish the order, and wait for a while until it is carried out. Raises InputRefused, ApiError."""
    operation = operation_of(info)
    event = event_of(info, order)
    written = earlier(info, event, identity=order.projection)
    if written is None:
        if missing := _not_aside(info, order.projection, check):
            raise InputRefused(
                "positions",
                f"{missing[0]} is neither a dead letter nor in quarantine of {order.projection}",
                remedy="What was folded stays: publish an event that corrects it.",
            )
        written = write(info, event, identity=order.projection)
    deadline_s = time.monotonic() + operation.services.limits.wait_s
    while True:
        found = _order(info, written.position)
        if found is not None and (found.done or time.monotonic() > deadline_s):
            return found
        operation.renew()
        time.sleep(_POLL_S)


def _order(info: Info, at: Position) -> Order | None:
    connection = operation_of(info).reads.snapshot.connection
    decision = queries.decision(connection, at.offset)
    if decision is None or decision.kind not in (REDRIVE, DROP):
        return None
    partitions = queries.partitions(connection, at.offset)
    live = live_generations(connection).get(decision.projection)
    done, outcomes = False, list[Carried]()
    if live is not None:
        done = is_done(connection, live, at.offset, partitions)
        with as_operator(connection):
            outcomes = carried(connection, live, at.offset)
    return Order(
        position=str(at),
        projection=decision.projection,
        dry_run=decision.dry_run,
        done=done,
        outcomes=outcomes,
    )


def _not_aside(info: Info, projection: str, wanted: Sequence[Position]) -> list[Position]:
    connection = operation_of(info).reads.snapshot.connection
    live = live_generations(connection)
    with as_operator(connection):
        return [
            at
            for at in wanted
            if not listing.entries(connection, live, Filter(projections=(projection,), position=at), first=1)
        ]


def _known(projection: str) -> None:
    try:
        declared(projection)
    except UnknownProjection as error:
        raise InputRefused("projection", str(error), remedy=error.remedy) from error


@outcome_type.field("state")
def resolve_state(one: Carried, _: Info) -> str:
    return one.outcome


@outcome_type.field("aggregate")
def resolve_aggregate(one: Carried, _: Info) -> str | None:
    return one.aggregate or None


@outcome_type.field("position")
def resolve_position(one: Carried, _: Info) -> str | None:
    return None if one.position is None else str(one.position)


bindables = [query, mutation, outcome_type]
