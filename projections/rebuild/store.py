"""Rows of ``runtime.rebuilds``: read, made, and led from state to state by compare-and-set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from sqlalchemy import Connection, RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from infra.postgres.runtime import rebuilds as table
from projections.rebuild.errors import NoSuchRebuild, RebuildRefused, Stopped
from projections.rebuild.machine import RebuildState, Step, after, sources

Partition = tuple[str, int]
"""(topic, partition)."""
_WORKED_ON: Final = (RebuildState.FILLING.value, RebuildState.VERIFYING.value)
_NEEDS: Final[Mapping[Step, str]] = {
    Step.PAUSE: "only one that is worked on can be paused",
    Step.RESUME: "only a paused or a failed one can be resumed",
    Step.CANCEL: "it has ended",
    Step.ACCEPT: "only one that waits for it (READY), or that failed because rows differ, can be accepted",
}


class Agreement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What stood in a rebuild's row when a person accepted."""

    from_generation: int = 0
    different: int = 0
    differences: list[str] = []


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """One rebuild. ``events`` of ``of_all`` records are folded; ``differences`` are the first ones, as text.

    ``until``: records appended before (UTC). ``until_position``: ``topic/partition@offset``, up to and including it.
    ``ranges``: ``topic/partition`` -> [first offset, end]: what is read, as far as it is known by now.
    """

    id: int
    projection: str
    generation: int
    schema_name: str
    version: int
    fingerprint: str
    state: RebuildState
    reason: str = ""
    until: datetime | None = None
    until_position: str | None = None
    ranges: dict[str, tuple[int, int]] = {}
    workers: int = 1
    swap: bool = True
    accept: bool = False
    accepted_at: datetime | None = None
    """When a person agreed with the differences found."""
    accepted: Agreement | None = None
    """What that was about, whatever is found later; None also where an earlier build took no note."""
    events: int = 0
    of_all: int = 0
    events_per_s: float = 0.0
    eta_s: float | None = None
    bytes: int = 0
    verified_at: datetime | None = None
    different: int = 0
    differences: list[str] = []
    from_generation: int | None = None
    hold_ms: float | None = None
    swap_ms: float | None = None
    ordered_by: str
    ordered_at: datetime
    updated_at: datetime
    told_at: datetime | None = None

    @property
    def scratch(self) -> bool:
        """It shows the past, and never becomes live."""
        return self.until is not None or self.until_position is not None


def every(connection: Connection, projection: str | None = None) -> list[Rebuild]:
    """All rebuilds, the newest first."""
    query = select(table).order_by(table.c.id.desc())
    if projection is not None:
        query = query.where(table.c.projection == projection)
    return [_rebuild(row) for row in connection.execute(query).mappings()]


def find(connection: Connection, rebuild_id: int) -> Rebuild:
    """Raises NoSuchRebuild."""
    row = connection.execute(select(table).where(table.c.id == rebuild_id)).mappings().first()
    if row is None:
        raise NoSuchRebuild(
            f"there is no rebuild {rebuild_id}", remedy="millstream projection generations NAME lists them"
        )
    return _rebuild(row)


def add(connection: Connection, **values: Any) -> Rebuild:
    """A new row in the state ORDERED. Raises what the unique index does when one is open already."""
    made = connection.execute(
        insert(table).values(state=RebuildState.ORDERED.value, **values).returning(table)
    )
    return _rebuild(made.mappings().one())


def step(connection: Connection, rebuild_id: int, taken: Step, **values: Any) -> Rebuild:
    """Take a step, with what else is to be written, in the caller's transaction.

    Raises RebuildRefused where the state does not allow it, or another rebuild is open: then nothing was changed.
    """
    row = (
        connection.execute(select(table).where(table.c.id == rebuild_id).with_for_update()).mappings().first()
    )
    if row is None:
        return find(connection, rebuild_id)
    found = _rebuild(row)
    to = after(found.state, taken)
    if to is None:
        allowed = ", ".join(sorted(sources(taken)))
        raise RebuildRefused(
            f"rebuild {rebuild_id} of {found.projection} is {found.state.value}: {_NEEDS.get(taken, taken.value)}",
            remedy=f"It is possible from {allowed}.",
        )
    with one_at_a_time(found.projection):
        return write(connection, rebuild_id, state=to.value, **values)


@contextmanager
def one_at_a_time(projection: str) -> Iterator[None]:
    """What the unique index refuses, in words. Raises RebuildRefused."""
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise
        raise RebuildRefused(
            f"another rebuild of {projection} is open already",
            remedy=f"Wait for it, or end it: millstream projection cancel {projection}",
        ) from error


def write(connection: Connection, rebuild_id: int, **values: Any) -> Rebuild:
    """Change columns without a step."""
    changed = connection.execute(
        update(table)
        .where(table.c.id == rebuild_id)
        .values(updated_at=func.clock_timestamp(), **values)
        .returning(table)
    )
    return _rebuild(changed.mappings().one())


def worked_on(connection: Connection, rebuild_id: int, **values: Any) -> Rebuild:
    """Write how far the work is. Raises Stopped when the rebuild is not to be worked on any more."""
    changed = connection.execute(
        update(table)
        .where(table.c.id == rebuild_id, table.c.state.in_(_WORKED_ON))
        .values(updated_at=func.clock_timestamp(), **values)
        .returning(table)
    )
    row = changed.mappings().first()
    if row is None:
        raise Stopped(f"the rebuild is {find(connection, rebuild_id).state.value}")
    return _rebuild(row)


def _rebuild(row: RowMapping) -> Rebuild:
    values = {name: row[name] for name in Rebuild.__struct_fields__}
    return msgspec.convert(values, Rebuild, builtin_types=(datetime,))
