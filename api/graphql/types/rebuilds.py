"""Projections with their generations: what there is, and what an operator may do with them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
import structlog
from ariadne import MutationType, ObjectType, QueryType
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from api.commands.errors import ApiError, Code, InputRefused
from api.graphql.types.admin import operating_of
from api.graphql.types.info import Info, operation_of
from infra.kafka.errors import KafkaError
from projections.catalogue import PROJECTIONS, UnknownProjection
from projections.catalogue import projection as declared
from projections.generations import fingerprint, live_generations
from projections.projection import Projection
from projections.rebuild import control, events
from projections.rebuild.comparing import Comparison
from projections.rebuild.control import GenerationInfo, Rebuild
from projections.rebuild.errors import NoSuchGeneration, NoSuchRebuild, RebuildRefused
from projections.rebuild.groups import forget_dropped

MOST_SHOWN = 200
_MOST_REBUILDS = 100
_UNDEFINED_TABLE = "42P01"
_LEAVING_S = 5.0
_log = structlog.get_logger()

query = QueryType()
mutation = MutationType()
projection_type = ObjectType("Projection")
generation_type = ObjectType("ProjectionGeneration")
rebuild_type = ObjectType("ProjectionRebuild")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """``Projection``."""

    name: str
    version: int
    topics: list[str]
    live_generation: int | None
    outdated: bool
    generations: list[GenerationInfo]
    all_rebuilds: list[Rebuild]


@query.field("projections")
def resolve_projections(_: object, info: Info, name: str | None = None) -> list[Known]:
    engine = operating_of(info).projector
    with _refusing():
        wanted = PROJECTIONS if name is None else (declared(name),)
        return _listed(engine, wanted)


@query.field("projectionDiff")
def resolve_diff(_: object, info: Info, projection: str, a: int, b: int, first: int = 20) -> Comparison:
    engine = operating_of(info).projector
    if not 0 <= first <= MOST_SHOWN:
        raise InputRefused("first", f"has to lie between 0 and {MOST_SHOWN}")
    with _refusing():
        return control.diff(engine, projection, a, b, shown=first)


@mutation.field("rebuildProjection")
def resolve_rebuild(
    _: object,
    info: Info,
    projection: str,
    until: datetime | None = None,
    until_position: str | None = None,
    workers: int = 1,
    swap: bool = True,
    accept: bool = False,
    reason: str | None = None,
) -> Rebuild:
    engine, operation = operating_of(info).projector, operation_of(info)
    with _refusing():
        found = control.order(
            engine,
            projection,
            until=until,
            until_position=until_position,
            workers=workers,
            swap=swap,
            accept=accept,
            ordered_by=operation.user.name,
            reason=reason or "",
        )
    try:
        operation.services.publisher.publish([events.ordered(found)])
    except KafkaError:
        control.cancel(engine, found.id)  # what nobody can read on the log was not ordered
        raise
    return found


@mutation.field("pauseRebuild")
def resolve_pause(_: object, info: Info, id: str) -> Rebuild:  # noqa: A002 - as the schema calls it
    return _stepped(info, id, control.pause)


@mutation.field("resumeRebuild")
def resolve_resume(_: object, info: Info, id: str) -> Rebuild:  # noqa: A002
    return _stepped(info, id, control.resume)


@mutation.field("cancelRebuild")
def resolve_cancel(_: object, info: Info, id: str) -> Rebuild:  # noqa: A002
    return _stepped(info, id, control.cancel)


@mutation.field("acceptRebuild")
def resolve_accept(_: object, info: Info, id: str) -> Rebuild:  # noqa: A002
    return _stepped(info, id, control.accept)


@mutation.field("rollbackProjection")
def resolve_rollback(_: object, info: Info, projection: str, reason: str | None = None) -> Known:
    engine, operation = operating_of(info).projector, operation_of(info)
    with _refusing():
        done = control.rollback(engine, projection, ordered_by=operation.user.name)
        try:
            operation.services.publisher.publish([done.event(reason or "")])
        except KafkaError as error:  # readers are led back already
            _log.warning("rollback_not_told", projection=projection, error=str(error))
        with engine.connect() as connection:
            return _known(connection, declared(projection))


@mutation.field("dropGeneration")
def resolve_drop(_: object, info: Info, projection: str, generation: int) -> GenerationInfo:
    engine = operating_of(info).projector
    with _refusing():
        gone = control.drop_generation(engine, projection, generation)
    try:
        forget_dropped(engine, operating_of(info).admin, projection, _LEAVING_S)
    except KafkaError as error:  # the generation is gone already; its group goes with the next one
        _log.warning("group_not_deleted", projection=projection, generation=generation, error=str(error))
    return gone


def _stepped(info: Info, identity: str, take: Callable[[Engine, int], Rebuild]) -> Rebuild:
    engine = operating_of(info).projector
    if not (identity.isascii() and identity.isdigit() and len(identity) < 18):
        raise InputRefused("id", f"{identity!r} is no id of a rebuild", remedy="`projections` lists them.")
    with _refusing():
        return take(engine, int(identity))


def _listed(engine: Engine, wanted: Sequence[Projection]) -> list[Known]:
    """Read once more where a generation was dropped at this moment."""
    again = True
    while True:
        try:
            with engine.connect() as connection:
                return [_known(connection, one) for one in wanted]
        except ProgrammingError as error:
            if not again or getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                raise
            again = False


def _known(connection: Connection, one: Projection) -> Known:
    live = live_generations(connection).get(one.name)
    return Known(
        name=one.name,
        version=one.version,
        topics=[topic.value for topic in one.topics],
        live_generation=None if live is None else live.number,
        outdated=live is not None and (live.version, live.fingerprint) != (one.version, fingerprint(one)),
        generations=control.generations_of(connection, one.name),
        all_rebuilds=control.rebuilds(connection, one.name),
    )


@contextmanager
def _refusing() -> Iterator[None]:
    """Refusals of the house below, as errors that a caller understands."""
    try:
        yield
    except UnknownProjection as error:
        raise InputRefused("projection", str(error), remedy=error.remedy) from error
    except (NoSuchGeneration, NoSuchRebuild) as error:
        raise InputRefused(
            "generation" if isinstance(error, NoSuchGeneration) else "id", str(error), remedy=error.remedy
        ) from error
    except RebuildRefused as error:
        raise ApiError(Code.REFUSED, str(error), remedy=error.remedy) from error


@projection_type.field("rebuilds")
def resolve_rebuilds(one: Known, _: Info, first: int = 10) -> list[Rebuild]:
    return one.all_rebuilds[: min(max(0, first), _MOST_REBUILDS)]


@generation_type.field("positions")
def resolve_positions(one: GenerationInfo, _: Info) -> list[dict[str, str]]:
    return [{"partition": place, "next_offset": str(at)} for place, at in sorted(one.at.items())]


@rebuild_type.field("eventsPerSecond")
def resolve_rate(one: Rebuild, _: Info) -> float:
    return one.events_per_s


@rebuild_type.field("etaSeconds")
def resolve_eta(one: Rebuild, _: Info) -> float | None:
    return one.eta_s


@rebuild_type.field("sizeBytes")
def resolve_size(one: Rebuild, _: Info) -> int:
    return one.bytes


bindables = [query, mutation, projection_type, generation_type, rebuild_type]
