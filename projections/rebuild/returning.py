"""The way back: readers are led to the generation that they were led away from, as long as somebody keeps it current."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, select

from infra.postgres.runtime import kept_generations
from projections import people_views
from projections.catalogue import projection as declared
from projections.generations import Generation, LiveGeneration, NotProjected, fingerprint, live_generations
from projections.projection import Derive
from projections.rebuild.derived import older_keys
from projections.rebuild.errors import RebuildRefused
from projections.rebuild.holding import HoldLost, Swapped, Target, lead, vector_of
from projections.rebuild.listing import carried
from projections.rebuild.security import security_differences
from projections.rebuild.vectors import Vector, behind
from schemas.codec import new_event
from schemas.envelope import Event
from schemas.ids import derived_event_id
from schemas.operations.events import GenerationSwapped

MOST_BEHIND: Final = 10_000
"""Records that the earlier generation may be behind the live one: it comes up within a moment."""
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.5
_TOLD_S: Final = 8.0
"""Within it a projector says which generations it keeps: soon after a swap it may not have said so yet."""
_SOURCE: Final = "//millstream/projector"


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """Readers use ``to_generation`` again; ``from_generation`` is kept current by whoever carries its fold."""

    projection: str
    from_generation: int
    to_generation: int
    hold_ms: float
    swap_ms: float
    at: datetime
    ordered_by: str

    def event(self, reason: str = "") -> Event:
        """What is to be told on ``millstream.operations``."""
        return new_event(
            GenerationSwapped(
                projection=self.projection,
                from_generation=self.from_generation,
                to_generation=self.to_generation,
                rolled_back=True,
                reason=reason,
                ordered_by=self.ordered_by,
            ),
            source=_SOURCE,
            time=self.at,
            event_id=derived_event_id(
                "operation.generation_swapped",
                self.projection,
                self.from_generation,
                self.to_generation,
                self.at.isoformat(),
            ),
        )


def rollback(engine: Engine, projection: str, *, ordered_by: str) -> RolledBack:
    """Lead readers back to the generation before the live one, and no further back in time than they are now.

    ``engine`` gives two connections at once.

    Raises RebuildRefused (there is none, or nobody keeps it current, or it may be seen by others), NotProjected,
    UnknownProjection.
    """
    derive = declared(projection).derive
    _require_carried(engine, projection)
    for _ in range(_ATTEMPTS):
        with engine.connect() as connection:
            live, target = _pair(connection, projection)
            _require_close(connection, projection, live, target)
            differing = security_differences(connection, live.schema_name, target.schema_name)
        if differing:
            raise RebuildRefused(
                f"generation {target.number} of {projection} is protected otherwise than the live one: {differing[0]}",
                remedy="Make grants and policies equal by hand, or rebuild.",
            )
        try:
            done = lead(engine, live, target, _come_up(engine, live, target, derive), _nothing, derive)
        except HoldLost:
            done = None
        if done is not None:
            return _done(engine, projection, live, target, done, ordered_by)
        time.sleep(_PAUSE_S)
    raise RebuildRefused(
        f"generation {target.number} of {projection} did not come up to the live one in {_ATTEMPTS} holds",
        remedy="Try again when less arrives.",
    )


def _done(
    engine: Engine, projection: str, live: LiveGeneration, target: Target, done: Swapped, ordered_by: str
) -> RolledBack:
    one = declared(projection)
    if (target.version, target.fingerprint) == (one.version, fingerprint(one)):
        people_views.refresh(
            engine,
            one,
            Generation(
                projection=projection,
                number=target.number,
                schema_name=target.schema_name,
                version=target.version,
                fingerprint=target.fingerprint,
                live=True,
            ),
        )
    return RolledBack(
        projection=projection,
        from_generation=live.number,
        to_generation=target.number,
        hold_ms=done.hold_ms,
        swap_ms=done.swap_ms,
        at=datetime.now(UTC),
        ordered_by=ordered_by,
    )


def _pair(connection: Connection, projection: str) -> tuple[LiveGeneration, Target]:
    live = live_generations(connection).get(projection)
    if live is None:
        raise NotProjected(
            f"the projection {projection} does not exist yet",
            remedy="Start the projector: millstream projector",
        )
    columns = kept_generations.c
    row = connection.execute(
        select(columns.generation, columns.schema_name, columns.version, columns.fingerprint).where(
            columns.projection == projection
        )
    ).first()
    if row is None:
        raise RebuildRefused(
            f"{projection} has no generation to go back to: {live.number} is the only one that readers used, "
            "or the one before was dropped",
            remedy=f"Rebuild: millstream projection rebuild {projection}",
        )
    return live, Target(
        number=row.generation, schema_name=row.schema_name, version=row.version, fingerprint=row.fingerprint
    )


def _require_carried(engine: Engine, projection: str) -> None:
    """Also where nothing is late: nobody would fold what comes next."""
    until_s = time.monotonic() + _TOLD_S
    while True:
        with engine.connect() as connection:
            live, target = _pair(connection, projection)
            if (projection, target.number) in carried(connection):
                return
            late = _late(connection, live, target)
        if time.monotonic() >= until_s:
            raise RebuildRefused(
                f"generation {target.number} of {projection} was folded by version {target.version}, which no running "
                f"projector carries: it is {late:,} records behind the live one",
                remedy="Start a projector of that build, and roll back when it has caught up.",
            )
        time.sleep(_PAUSE_S)


def _late(connection: Connection, live: LiveGeneration, target: Target) -> int:
    at = [vector_of(connection, one.schema_name) for one in (target, live)]
    return sum(behind(*at).values())


def _require_close(connection: Connection, projection: str, live: LiveGeneration, target: Target) -> None:
    late = _late(connection, live, target)
    if late > MOST_BEHIND:
        raise RebuildRefused(
            f"generation {target.number} of {projection} is {late:,} records behind the live one",
            remedy="Roll back when it has caught up: millstream projection generations " + projection,
        )


def _come_up(
    engine: Engine, live: LiveGeneration, target: Target, derive: Derive | None
) -> Callable[[Vector], bool]:
    def reached(vector: Vector) -> bool:
        with engine.connect() as connection:
            if behind(vector_of(connection, target.schema_name), vector):
                return False
            return derive is None or not older_keys(connection, derive, live, target)

    return reached


def _nothing(connection: Connection) -> None:
    """The row of ``runtime.generations`` is all."""
